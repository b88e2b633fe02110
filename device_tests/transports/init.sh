#!/bin/busybox sh
# The init of the emulated machine: mounts the disk, then runs what comes over the serial line, a line a command.
B=/bin/busybox
$B mkdir -p /proc /sys /dev /disk
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for module in $($B cat /modules/order); do $B insmod "/modules/$module"; done
for try in 1 2 3 4 5 6 7 8 9; do [ -b /dev/vda ] && break; $B sleep 0.2; done
$B mount -o ro -t ext4 /dev/vda /disk || exec $B poweroff -f
for folder in proc sys dev; do $B mount -o bind /$folder /disk/$folder; done
$B mount -t tmpfs tmpfs /disk/tmp
$B cp -r /pushed /disk/tmp/pushed
$B rm -rf /pushed
$B stty raw -echo < /dev/console
echo "<ready>"
while read -r line; do
  echo "$line" | $B base64 -d > /disk/tmp/command
  $B chroot /disk /bin/sh /tmp/command > /disk/tmp/out 2> /disk/tmp/err < /dev/null
  status=$?
  echo "<begin> $status $($B base64 -w 0 /disk/tmp/out) . $($B base64 -w 0 /disk/tmp/err) . <end>"
done
$B poweroff -f

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Array files of a bundle, "Array files" in docs/bundle-format.md: arrays by name behind one directory. */
final class ArrayFile {
  private static final byte[] MAGIC = "LERGARR2".getBytes(StandardCharsets.US_ASCII);
  private static final List<String> TYPES =
      Arrays.asList("b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4");
  private static final int ALIGNMENT = 8;

  private ArrayFile() {}

  static Map<String, BundleArray> read(byte[] file) throws IOException {
    ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    if (file.length < 16 || !Arrays.equals(Arrays.copyOf(file, 8), MAGIC)) throw new IOException("no array file");
    data.position(8);
    int start = 16 + data.getInt();
    int count = data.getInt();
    Map<String, BundleArray> arrays = new TreeMap<>();
    for (int number = 0; number < count; number++) {
      byte[] name = new byte[data.get() & 0xff];
      data.get(name);
      String type = TYPES.get(data.get());
      int coding = data.get();
      long[] shape = new long[data.get()];
      int stored = data.getInt();
      int elements = 1;
      for (int axis = 0; axis < shape.length; axis++) elements *= (int) (shape[axis] = data.getInt());
      start = aligned(start);
      byte[] content = Arrays.copyOfRange(file, start, start + stored);
      start += stored;
      int size = type.charAt(1) - '0';
      byte[] bytes = coding == 0 ? content : ArrayDecoder.decode(content, coding, elements, size);
      if (bytes.length != elements * size) throw new IOException("an array of another size than it says");
      arrays.put(new String(name, StandardCharsets.US_ASCII), new BundleArray(type, shape, bytes));
    }
    return arrays;
  }

  /** Every array as it is: a reader takes them coded or not. */
  static byte[] write(Map<String, BundleArray> arrays) throws IOException {
    ByteArrayOutputStream directory = new ByteArrayOutputStream();
    for (Map.Entry<String, BundleArray> entry : new TreeMap<>(arrays).entrySet()) {
      BundleArray array = entry.getValue();
      byte[] name = entry.getKey().getBytes(StandardCharsets.US_ASCII);
      ByteBuffer head = ByteBuffer.allocate(name.length + 8 + 4 * array.shape.length).order(ByteOrder.LITTLE_ENDIAN);
      head.put((byte) name.length).put(name).put((byte) TYPES.indexOf(array.type)).put((byte) 0);
      head.put((byte) array.shape.length).putInt(array.bytes.length);
      for (long size : array.shape) head.putInt((int) size);
      directory.write(head.array());
    }
    ByteArrayOutputStream file = new ByteArrayOutputStream();
    ByteBuffer head = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    head.put(MAGIC).putInt(directory.size()).putInt(arrays.size());
    file.write(head.array());
    directory.writeTo(file);
    for (BundleArray array : new TreeMap<>(arrays).values()) {
      file.write(new byte[aligned(file.size()) - file.size()]);
      file.write(array.bytes);
    }
    return file.toByteArray();
  }

  private static int aligned(int place) {
    return (place + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
}

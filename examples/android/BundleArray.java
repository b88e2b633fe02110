import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;

/** One array of an .npz: its little-endian bytes. `docs/bundle-format.md` tells which there are. */
final class BundleArray {
  private static final Pattern HEADER =
      Pattern.compile("'descr': '([<|])(\\w\\d)', 'fortran_order': False, 'shape': \\(([\\d, ]*)\\)");

  final String type;
  final long[] shape;
  final byte[] bytes;

  BundleArray(String type, long[] shape, byte[] bytes) {
    this.type = type;
    this.shape = shape;
    this.bytes = bytes;
  }

  static BundleArray of(float[] values, long[] shape) {
    ByteBuffer data = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    return new BundleArray("f4", shape, data.array());
  }

  static BundleArray of(long value) {
    ByteBuffer data = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, value);
    return new BundleArray("i8", new long[0], data.array());
  }

  int length() {
    return (int) shape[0];
  }

  float[] floats() {
    FloatBuffer data = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
    float[] values = new float[data.remaining()];
    data.get(values);
    return values;
  }

  /** Integers of any type. */
  long[] longs() {
    int size = type.charAt(1) - '0';
    ByteBuffer data = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    long[] values = new long[bytes.length / size];
    for (int i = 0; i < values.length; i++) {
      if (size == 1) values[i] = type.equals("u1") ? data.get(i) & 0xff : data.get(i);
      else if (size == 2) values[i] = type.equals("u2") ? data.getChar(2 * i) : data.getShort(2 * i);
      else if (size == 4) values[i] = data.getInt(4 * i) & (type.equals("u4") ? 0xffffffffL : -1L);
      else values[i] = data.getLong(8 * i);
    }
    return values;
  }

  static Map<String, BundleArray> readAll(byte[] archive) throws IOException {
    Map<String, BundleArray> arrays = new TreeMap<>();
    try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(archive))) {
      for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        byte[] member = readFully(zip);
        int length = 10 + (member[8] & 0xff) + 256 * (member[9] & 0xff);
        String header = new String(member, 10, length - 10, StandardCharsets.US_ASCII);
        Matcher found = HEADER.matcher(header);
        if (!found.find()) throw new IOException(entry.getName() + " is no array of a bundle");
        String[] sizes = found.group(3).replace(" ", "").split(",");
        long[] shape = sizes[0].isEmpty() ? new long[0] : new long[sizes.length];
        for (int axis = 0; axis < shape.length; axis++) shape[axis] = Long.parseLong(sizes[axis]);
        byte[] data = Arrays.copyOfRange(member, length, member.length);
        arrays.put(entry.getName().replace(".npy", ""), new BundleArray(found.group(2), shape, data));
      }
    }
    return arrays;
  }

  static byte[] writeAll(Map<String, BundleArray> arrays) throws IOException {
    ByteArrayOutputStream archive = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(archive)) {
      for (Map.Entry<String, BundleArray> entry : arrays.entrySet()) {
        ZipEntry member = new ZipEntry(entry.getKey() + ".npy");
        zip.putNextEntry(member);
        zip.write(entry.getValue().header());
        zip.write(entry.getValue().bytes);
        zip.closeEntry();
      }
    }
    return archive.toByteArray();
  }

  private byte[] header() {
    StringBuilder sizes = new StringBuilder();
    for (long size : shape) sizes.append(size).append(shape.length == 1 ? "," : ", ");
    String order = type.endsWith("1") ? "|" : "<";
    String text = "{'descr': '" + order + type + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
    int padded = (10 + text.length() + 1 + 63) / 64 * 64 - 10;
    StringBuilder line = new StringBuilder(text);
    while (line.length() < padded - 1) line.append(' ');
    line.append('\n');
    ByteBuffer header = ByteBuffer.allocate(10 + padded).order(ByteOrder.LITTLE_ENDIAN);
    header.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.US_ASCII)).put((byte) 1).put((byte) 0);
    header.putShort((short) padded).put(line.toString().getBytes(StandardCharsets.US_ASCII));
    return header.array();
  }

  private static byte[] readFully(InputStream stream) throws IOException {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    byte[] part = new byte[1 << 16];
    for (int read = stream.read(part); read >= 0; read = stream.read(part)) content.write(part, 0, read);
    return content.toByteArray();
  }
}

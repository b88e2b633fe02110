import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** One array of a bundle: its little-endian bytes. `docs/bundle-format.md` tells which there are. */
final class BundleArray {
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
}

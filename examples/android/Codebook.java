import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Integers of 4, 8 or 16 bits in the order of docs/bundle-format.md; weights themselves with 32. */
final class Codebook {
  static float[] unpack(BundleArray packed, float[] step, int bits) {
    if (bits == 32) return packed.floats();
    int count = packed.bytes.length * 8 / bits;
    int columns = count / (int) packed.shape[0];
    ByteBuffer data = ByteBuffer.wrap(packed.bytes).order(ByteOrder.LITTLE_ENDIAN);
    float[] weights = new float[count];
    for (int i = 0; i < count; i++) {
      int code;
      if (bits == 16) code = data.getShort(2 * i);
      else if (bits == 8) code = data.get(i);
      else code = i % 2 == 0 ? (byte) (data.get(i / 2) << 4) >> 4 : data.get(i / 2) >> 4;
      weights[i] = code * step[step.length == 1 ? 0 : i / columns];
    }
    return weights;
  }

  static BundleArray pack(float[] weights, float[] step, int bits, BundleArray like) {
    if (bits == 32) return BundleArray.of(weights, like.shape);
    ByteBuffer data = ByteBuffer.allocate(like.bytes.length).order(ByteOrder.LITTLE_ENDIAN);
    int columns = weights.length / (int) like.shape[0];
    int most = (1 << (bits - 1)) - 1;
    for (int i = 0; i < weights.length; i++) {
      float scaled = weights[i] / step[step.length == 1 ? 0 : i / columns];
      int code = (int) Math.rint(Math.max(-most - 1, Math.min(most, scaled)));
      if (bits == 16) data.putShort(2 * i, (short) code);
      else if (bits == 8) data.put(i, (byte) code);
      else if (i % 2 == 0) data.put(i / 2, (byte) (code & 15));
      else data.put(i / 2, (byte) (data.get(i / 2) | code << 4));
    }
    return new BundleArray(like.type, like.shape, data.array());
  }
}

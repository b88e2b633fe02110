import java.io.IOException;

/** Arrays that a bundle holds coded: codings 1, 2 and 3 of docs/bundle-format.md. */
final class ArrayDecoder {
  private static final int ALONE = 1;
  private static final int NEAR = 2;
  private static final int TEXT = 3;
  private static final int MEMORY = 1000;

  private ArrayDecoder() {}

  static byte[] decode(byte[] coded, int coding, int elements, int size) throws IOException {
    if (coding < ALONE || coding > TEXT || coding == TEXT && size != 1) throw new IOException("unknown coding");
    BitDecoder bits = new BitDecoder(coded, 0, coded.length);
    byte[] out = new byte[elements * size];
    if (coding == TEXT) text(bits, out);
    else integers(bits, out, size, coding == NEAR);
    if (!bits.endedWell()) throw new IOException("a coded array is damaged");
    return out;
  }

  private static void integers(BitDecoder bits, byte[] out, int size, boolean near) {
    // Cells of a chance and a count: by byte and the bits before, and by byte, place and the bit before it.
    int[][] alone = new int[size * 256][];
    int[][] alike = new int[size * 16][];
    byte[] last = new byte[size];
    for (int start = 0; start < out.length; start += size) {
      boolean same = near;
      for (int number = size - 1; number >= 0; number--) {
        int node = 1;
        for (int place = 7; place >= 0; place--) {
          int before = last[number] >> place & 1;
          int[][] cells = same ? alike : alone;
          int cell = same ? number * 16 + place * 2 + before : number * 256 + node;
          if (cells[cell] == null) cells[cell] = new int[] {32768, 0};
          int bit = next(bits, cells[cell]);
          same &= bit == before;
          node = 2 * node + bit;
        }
        last[number] = out[start + number] = (byte) node;
      }
    }
  }

  private static int next(BitDecoder bits, int[] cell) {
    int chance = Math.max(32, Math.min(65504, cell[0]));
    int bit = bits.bit(chance);
    cell[0] += (int) (((bit << 16) - cell[0]) * (long) (131072 / (2 * cell[1] + 3)) >> 16);
    if (cell[1] < MEMORY) cell[1]++;
    return bit;
  }

  private static void text(BitDecoder bits, byte[] out) {
    short[] odds = new short[256 + 3 * 65536];
    int before = 0;
    int[] places = new int[4];
    int[] paces = {2, 8, 16, 32};
    for (int i = 0; i < out.length; i++) {
      int two = (before & 0xffff) * 0x9E3779B1 >>> 8;
      int four = (before + 1) * 0x9E3779B1 >>> 8;
      int node = 1;
      for (int place = 7; place >= 0; place--) {
        places[0] = node;
        places[1] = 256 + 256 * (before & 0xff) + node;
        places[2] = 256 + 65536 + (two + node * 0x2F0B4C47 >>> 3 & 0xffff);
        places[3] = 256 + 2 * 65536 + (four + node * 0x2F0B4C47 >>> 3 & 0xffff);
        int sum = 0;
        for (int where : places) sum += odds[where];
        int chance = BitDecoder.chance(sum);
        int bit = bits.bit(chance);
        for (int j = 0; j < 4; j++) {
          odds[places[j]] = BitDecoder.moved(odds[places[j]], (bit << 16) - chance, paces[j]);
        }
        node = 2 * node + bit;
      }
      out[i] = (byte) node;
      before = before << 8 | node & 0xff;
    }
  }
}

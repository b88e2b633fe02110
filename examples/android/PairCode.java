import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Who touched what, "Codes of pairs" in docs/bundle-format.md. */
final class PairCode {
  /** Is given each pair, row by row within a part of the columns. */
  interface Visitor {
    void pair(int row, int column);
  }

  private static final int PACE = 13;

  final int rows;
  final int columns;
  private final int[] ends;
  private final int[] pairs;
  private final int[] sizes;
  private final byte[] code;

  PairCode(byte[] code) {
    this.code = code;
    ByteBuffer data = ByteBuffer.wrap(code).order(ByteOrder.LITTLE_ENDIAN);
    rows = data.getInt();
    columns = data.getInt();
    data.getInt(); // pairs of all parts
    int parts = data.getInt();
    ends = new int[parts];
    pairs = new int[parts];
    sizes = new int[parts];
    for (int part = 0; part < parts; part++) {
      ends[part] = data.getInt();
      pairs[part] = data.getInt();
      sizes[part] = data.getInt();
    }
  }

  void forEach(Visitor visitor) throws IOException {
    int place = 16 + 12 * ends.length;
    int first = 0;
    for (int part = 0; part < ends.length; part++) {
      BitDecoder bits = new BitDecoder(code, place, place + sizes[part]);
      int found = new Part(bits, first, ends[part] - first).visit(visitor);
      if (found != pairs[part] || !bits.endedWell()) throw new IOException("coded pairs are damaged");
      place += sizes[part];
      first = ends[part];
    }
  }

  /** Some of the columns, as leaves of a binary tree. */
  private final class Part {
    private final BitDecoder bits;
    private final int first;
    private final int width;
    private final int deepest;
    private final short[] odds;
    private final int[][][] common = new int[32][64][2];
    private final short[] ofRows = new short[4];
    private int lastRows;

    Part(BitDecoder bits, int first, int width) {
      this.bits = bits;
      this.first = first;
      this.width = width;
      deepest = width <= 1 ? 0 : 32 - Integer.numberOfLeadingZeros(width - 1);
      odds = new short[2 << deepest];
    }

    int visit(Visitor visitor) {
      int found = 0;
      for (int row = 0; row < rows; row++) if (hasPairs()) found += below(visitor, row, 1, 0, 0);
      return found;
    }

    /** The pairs of a row in the leaves of a node, from the left to the right. */
    private int below(Visitor visitor, int row, int node, int depth, int turns) {
      if (depth == deepest) {
        visitor.pair(row, first + node - (1 << deepest));
        return 1;
      }
      int middle = (2 * node + 1 << deepest - depth - 1) - (1 << deepest);
      int symbol = middle < width ? halves(node, depth, turns) : 1;
      int found = 0;
      int after = turns << 2 & 63 | (symbol == 2 ? 2 : 0);
      if (symbol != 0) found += below(visitor, row, 2 * node, depth + 1, after);
      if (symbol != 1) found += below(visitor, row, 2 * node + 1, depth + 1, after | 1);
      return found;
    }

    private boolean hasPairs() {
      int chance = BitDecoder.chance(ofRows[lastRows]);
      int bit = bits.bit(chance);
      ofRows[lastRows] = BitDecoder.moved(ofRows[lastRows], (bit << 16) - chance, PACE);
      lastRows = lastRows << 1 & 2 | bit;
      return bit == 1;
    }

    private int halves(int node, int depth, int turns) {
      int[] shared = common[depth][turns];
      int left = BitDecoder.chance(odds[2 * node] + (shared[0] >> 8));
      int right = BitDecoder.chance(odds[2 * node + 1] + (shared[1] >> 8));
      int symbol = bits.three(left, right);
      learn(2 * node, shared, 0, (symbol != 0 ? 65536 : 0) - left);
      if (symbol != 0) learn(2 * node + 1, shared, 1, (symbol == 2 ? 65536 : 0) - right);
      return symbol;
    }

    private void learn(int own, int[] shared, int half, int missed) {
      odds[own] = BitDecoder.moved(odds[own], missed, PACE);
      shared[half] += missed * 41 >> 7;
    }
  }
}

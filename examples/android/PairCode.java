import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Who touched what, "Codes of pairs" in docs/bundle-format.md. */
final class PairCode {
  /** Is given each pair, row by row within a column. */
  interface Visitor {
    void pair(int row, int column);
  }

  /** Is given the rows of a leaf, in order. */
  interface Leaves {
    void leaf(int leaf, int[] rows) throws IOException;
  }

  final int rows;
  final int columns;
  private final int topBytes;
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
    topBytes = data.getInt();
    pairs = new int[parts];
    sizes = new int[parts];
    for (int part = 0; part < parts; part++) {
      pairs[part] = data.getInt();
      sizes[part] = data.getInt();
    }
  }

  void forEach(Visitor visitor) throws IOException {
    int place = 20 + 8 * pairs.length;
    BitDecoder top = new BitDecoder(code, place, place + topBytes);
    int[] places = new int[pairs.length];
    places[0] = place + topBytes;
    for (int part = 1; part < pairs.length; part++) places[part] = places[part - 1] + sizes[part - 1];
    int[][] rowsOfParts = new int[pairs.length][0];
    new PairTree(top).visit(0, pairs.length, rowsWithPairs(top), (part, list) -> rowsOfParts[part] = list);
    if (!top.endedWell()) throw new IOException("coded pairs are damaged");
    parts(0, pairs.length, 0, columns, places, rowsOfParts, visitor);
  }

  /** Parts `low` to `high`, which have columns `first` to `end`: halves of halves. */
  private void parts(int low, int high, int first, int end, int[] places, int[][] lists, Visitor visitor)
      throws IOException {
    if (high - low > 1) {
      int middle = PairTree.halved(first, end);
      parts(low, (low + high) / 2, first, middle, places, lists, visitor);
      parts((low + high) / 2, high, middle, end, places, lists, visitor);
      return;
    }
    BitDecoder bits = new BitDecoder(code, places[low], places[low] + sizes[low]);
    int[] left = {pairs[low]};
    new PairTree(bits)
        .visit(
            first,
            end,
            lists[low],
            (column, list) -> {
              left[0] -= list.length;
              for (int row : list) visitor.pair(row, column);
            });
    if (left[0] != 0 || !bits.endedWell()) throw new IOException("coded pairs are damaged");
  }

  private int[] rowsWithPairs(BitDecoder bits) {
    int[] found = new int[rows];
    int[] chances = {32768, 32768, 32768, 32768};
    int last = 0;
    int count = 0;
    for (int row = 0; row < rows; row++) {
      int bit = bits.bit(chances[last]);
      chances[last] += 2047 * bit - (chances[last] >> 5);
      last = last << 1 & 2 | bit;
      if (bit == 1) found[count++] = row;
    }
    return java.util.Arrays.copyOf(found, count);
  }
}

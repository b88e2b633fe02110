import java.io.IOException;
import java.util.Arrays;

/** A tree of a code of pairs: at each node every row that has a pair below tells in which halves. */
final class PairTree {
  private static final int MEMORY = 6;

  private final BitDecoder bits;
  // By how often a node's last rows answered 0, 1 and 2, and by the row's last turn.
  private final int[][] left = new int[7 * 7 * 7][4];
  private final int[][] both = new int[7 * 7 * 7][4];

  PairTree(BitDecoder bits) {
    this.bits = bits;
    for (int none = 0; none <= MEMORY; none++) {
      for (int one = 0; none + one <= MEMORY; one++) {
        for (int two = 0; none + one + two <= MEMORY; two++) {
          int first = 65535 * (5 * (one + two) + 2) / (5 * (none + one + two) + 4);
          Arrays.fill(left[49 * none + 7 * one + two], first);
          Arrays.fill(both[49 * none + 7 * one + two], first * (10 * two + 3) / (10 * (one + two) + 6));
        }
      }
    }
  }

  /** Where the right half of leaves `first` to `end` begins. */
  static int halved(int first, int end) {
    return first + (end - first + 1) / 2;
  }

  /** The leaves from `first` to `end`, `end` exclusive, from the right to the left. */
  void visit(int first, int end, int[] rows, PairCode.Leaves leaves) throws IOException {
    visit(first, end, rows, new byte[rows.length], leaves);
  }

  private void visit(int first, int end, int[] rows, byte[] turns, PairCode.Leaves leaves) throws IOException {
    if (rows.length == 0) return;
    if (end - first == 1) {
      leaves.leaf(first, rows);
      return;
    }
    int[] lefts = new int[rows.length];
    int[] rights = new int[rows.length];
    byte[] leftTurns = new byte[rows.length];
    byte[] rightTurns = new byte[rows.length];
    int leftCount = 0;
    int rightCount = 0;
    int[] answers = new int[3];
    for (int i = 0; i < rows.length; i++) {
      int symbol = answer(answers, turns[i]);
      if (symbol != 0) {
        lefts[leftCount] = rows[i];
        leftTurns[leftCount++] = (byte) (symbol & 2);
      }
      if (symbol != 1) {
        rights[rightCount] = rows[i];
        rightTurns[rightCount++] = (byte) (symbol & 2 | 1);
      }
    }
    int middle = halved(first, end);
    visit(middle, end, Arrays.copyOf(rights, rightCount), rightTurns, leaves);
    visit(first, middle, Arrays.copyOf(lefts, leftCount), leftTurns, leaves);
  }

  /** 2 where both halves have a pair of the row, 1 where the left one alone, 0 where the right one alone. */
  private int answer(int[] answers, int turn) {
    int place = 49 * answers[0] + 7 * answers[1] + answers[2];
    int symbol = bits.three(left[place][turn] + 32, both[place][turn]);
    left[place][turn] += (symbol != 0 ? 1023 : 0) - (left[place][turn] >> 6);
    both[place][turn] += (symbol == 2 ? 1023 : 0) - (both[place][turn] >> 6);
    if (answers[0] + answers[1] + answers[2] == MEMORY) {
      int lower = symbol == 0 ? 1 : 0;
      int higher = symbol == 2 ? 1 : 2;
      int most = answers[higher] > answers[lower] ? higher : lower;
      answers[answers[most] > 0 ? most : symbol]--;
    }
    answers[symbol]++;
    return symbol;
  }
}

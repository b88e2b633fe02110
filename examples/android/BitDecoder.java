/** The range decoder of docs/bundle-format.md, "The coder": bits and symbols of three from chances in 1/65536. */
final class BitDecoder {
  private static final int[] KNOTS = new int[65];

  static {
    for (int k = 0; k < KNOTS.length; k++) KNOTS[k] = (int) Math.round(65536 / (1 + Math.exp(8 - k / 4.0)));
  }

  private final byte[] data;
  private final int end;
  private int read;
  private long range = -1; // unsigned, as is `at`
  private long at;

  BitDecoder(byte[] data, int start, int end) {
    this.data = data;
    this.end = end;
    this.read = start;
    next();
    next();
  }

  int bit(int chance) {
    long share = (range >>> 16) * chance;
    boolean one = Long.compareUnsigned(at, share) < 0;
    take(one ? 0 : share, one ? share : range - share);
    return one ? 1 : 0;
  }

  /** One of three: the chances are that it is 1 or 2, and that it is 2. */
  int three(int oneOrTwo, int two) {
    long outer = (range >>> 16) * oneOrTwo;
    long inner = (range >>> 16) * two;
    if (Long.compareUnsigned(at, outer) >= 0) {
      take(outer, range - outer);
      return 0;
    }
    boolean both = Long.compareUnsigned(at, inner) < 0;
    take(both ? 0 : inner, both ? inner : outer - inner);
    return both ? 2 : 1;
  }

  /** Whether all bytes were read and no more. */
  boolean endedWell() {
    return read == end;
  }

  /** The chance of a 1 for odds in 1/4096. */
  static int chance(int odds) {
    int place = Math.max(0, Math.min(4095, (odds >> 4) + 2048));
    int below = KNOTS[place >> 6];
    int chance = below + ((KNOTS[(place >> 6) + 1] - below) * (place & 63) >> 6);
    return Math.max(16, Math.min(65520, chance));
  }

  /** Odds after a bit that had missed the chance by so much. */
  static short moved(int odds, int missed, int pace) {
    return (short) Math.max(-32767, Math.min(32767, odds + ((missed * pace + 512) >> 10)));
  }

  private void take(long from, long width) {
    at -= from;
    range = width;
    if (range >>> 32 != 0) return;
    range <<= 32;
    next();
  }

  private void next() {
    for (int count = 0; count < 4; count++, read++) at = at << 8 | (read < end ? data[read] & 0xff : 0);
  }
}

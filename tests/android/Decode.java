import java.io.File;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Map;

/** What the example reads of an array file: the SHA-256 of each array, and of `pairs` how often each end occurs. */
public final class Decode {
  public static void main(String[] arguments) throws Exception {
    Map<String, BundleArray> arrays = ArrayFile.read(Files.readAllBytes(new File(arguments[0]).toPath()));
    for (Map.Entry<String, BundleArray> entry : arrays.entrySet()) {
      StringBuilder line = new StringBuilder(entry.getKey());
      line.append(' ').append(entry.getValue().type).append(' ');
      for (byte value : MessageDigest.getInstance("SHA-256").digest(entry.getValue().bytes)) {
        line.append(String.format("%02x", value));
      }
      System.out.println(line);
    }
    PairCode code = new PairCode(arrays.get("pairs").bytes);
    int[] rows = new int[code.rows];
    int[] columns = new int[code.columns];
    code.forEach(
        (row, column) -> {
          rows[row]++;
          columns[column]++;
        });
    System.out.println(Arrays.toString(rows));
    System.out.println(Arrays.toString(columns));
  }
}

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.Arrays;

/** What of the example needs no ExecuTorch: FOLDER BITS WEIGHTS, where WEIGHTS are float32, steps after codebook. */
public final class Roundtrip {
  public static void main(String[] arguments) throws Exception {
    PortableBundle bundle = new PortableBundle(new File(arguments[0]), Integer.parseInt(arguments[1]));
    System.out.println(Arrays.toString(bundle.userSlots));
    System.out.println(Arrays.toString(bundle.itemSlots));
    System.out.println(Arrays.toString(bundle.itemDegrees()));
    byte[] content = Files.readAllBytes(new File(arguments[2]).toPath());
    float[] values = new float[content.length / 4];
    ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
    int steps = Integer.parseInt(arguments[3]);
    float[] step = Arrays.copyOfRange(values, values.length - steps, values.length);
    bundle.keep(Arrays.copyOf(values, values.length - steps), step);
    bundle.save();
    bundle.close();
  }
}

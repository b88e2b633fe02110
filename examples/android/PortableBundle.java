import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Map;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Module;
import org.pytorch.executorch.Tensor;
import org.pytorch.executorch.training.SGD;
import org.pytorch.executorch.training.TrainingModule;

/**
 * A portable bundle over the stock ExecuTorch AAR: no code of this project's runs on the phone.
 *
 * <p>docs/android.md goes through it step by step. Indices are those of the bundle, from 0; which raw id an index
 * stands for is told by entities.arrays. Not safe for use by several threads at a time.
 */
public final class PortableBundle implements AutoCloseable {
  private static final String BATCH_METHOD = "finetune";

  private final File folder;
  private final int bits;
  private final Map<String, BundleArray> entities;
  private final PairCode interactions;
  private final Map<String, BundleArray> state;
  final int[] userSlots;
  final int[] itemSlots;
  private Module module;
  private FloatBuffer userTable;
  private FloatBuffer itemTable;
  private int dim;

  /** Reads the arrays of a bundle folder; `bits` is `model.bits` of manifest.json. Programs are not loaded yet. */
  public PortableBundle(File folder, int bits) throws IOException {
    this.folder = folder;
    this.bits = bits;
    entities = ArrayFile.read(Files.readAllBytes(new File(folder, "entities.arrays").toPath()));
    byte[] pairs = Files.readAllBytes(new File(folder, "interactions.arrays").toPath());
    interactions = new PairCode(ArrayFile.read(pairs).get("pairs").bytes);
    byte[] stored = Files.readAllBytes(new File(folder, "state.bin").toPath());
    byte[] body = Arrays.copyOfRange(stored, 32, stored.length);
    if (!MessageDigest.isEqual(sha256(body), Arrays.copyOf(stored, 32))) {
      throw new IOException("state.bin is damaged");
    }
    state = ArrayFile.read(body);
    userSlots = slots("user", interactions.rows);
    itemSlots = slots("item", interactions.columns);
  }

  /** Loads the programs and makes the tables of users and items from the codebook. */
  public void encode() {
    if (module == null) module = Module.load(new File(folder, "model.pte").getPath());
    EValue[] tables = module.execute("encode", EValue.from(codes()), EValue.from(floats(state.get("step"))));
    Tensor users = tables[0].toTensor();
    Tensor items = tables[1].toTensor();
    dim = (int) items.shape()[1];
    // The next call of the program writes where these tensors lie: keep copies.
    userTable = direct(users.getDataAsFloatArray());
    itemTable = direct(items.getDataAsFloatArray());
  }

  /** The row of a user of the bundle, float32 [d]. */
  public float[] userRow(int user) {
    float[] row = new float[dim];
    userTable.position(userSlots[user] * dim);
    userTable.get(row);
    return row;
  }

  /** The row of somebody unknown who has touched these items: h = sum of h_i / sqrt(n * degree of i). */
  public float[] historyRow(int[] history) throws IOException {
    int[] degrees = itemDegrees();
    float[] row = new float[dim];
    float[] item = new float[dim];
    for (int index : history) {
      itemTable.position(itemSlots[index] * dim);
      itemTable.get(item);
      double weight = 1 / Math.sqrt((double) history.length * Math.max(1, degrees[index]));
      for (int j = 0; j < dim; j++) row[j] += (float) (weight * item[j]);
    }
    return row;
  }

  /** The `k` best items of a row, `seen` ones left out; k is at most `model.max_k`. -1 where there are no more. */
  public long[] recommend(float[] row, int[] seen, int k) {
    byte[] mask = new byte[itemSlots.length];
    for (int item : seen) mask[item] = 1;
    long[] ranks = new long[k];
    for (int rank = 0; rank < k; rank++) ranks[rank] = rank;
    itemTable.rewind();
    EValue[] best =
        module.execute(
            "recommend",
            EValue.from(Tensor.fromBlob(row, new long[] {1, dim})),
            EValue.from(Tensor.fromBlob(itemTable, new long[] {itemTable.capacity() / dim, dim})),
            EValue.from(Tensor.fromBlob(itemSlots, new long[] {itemSlots.length})),
            EValue.from(Tensor.fromBlobUnsigned(mask, new long[] {1, mask.length})),
            EValue.from(Tensor.fromBlob(ranks, new long[] {k})));
    return best[0].toTensor().getDataAsLongArray();
  }

  /**
   * Trains by plain SGD on triples (a user touched `positives` and not `negatives`), two to `model.max_batch` at a
   * time, and keeps the result in memory; `save` writes it.
   *
   * @return the loss of each step.
   */
  public float[] train(int[] users, int[] positives, int[] negatives, double rate, int steps) {
    String program = new File(folder, "model.pte").getPath();
    String weights = new File(folder, "model.ptd").getPath();
    try (TrainingModule training = TrainingModule.load(program, weights)) {
      EValue[] batch = {
        EValue.from(slotTensor(userSlots, users)),
        EValue.from(slotTensor(itemSlots, positives)),
        EValue.from(slotTensor(itemSlots, negatives))
      };
      // The parameters are there after the first run. model.ptd has them as exported: put in what was saved since.
      training.executeForwardBackward(BATCH_METHOD, batch);
      Map<String, Tensor> parameters = training.namedParameters(BATCH_METHOD);
      FloatBuffer codebook = (FloatBuffer) parameters.get("codebook").getRawDataBuffer();
      FloatBuffer step = (FloatBuffer) parameters.get("step").getRawDataBuffer();
      step.duplicate().put(state.get("step").floats());
      codebook.duplicate().put(Codebook.unpack(state.get("codebook"), state.get("step").floats(), bits));
      SGD optimiser = SGD.create(parameters, rate);
      float[] losses = new float[steps];
      for (int number = 0; number < steps; number++) {
        EValue[] outputs = training.executeForwardBackward(BATCH_METHOD, batch);
        losses[number] = outputs[0].toTensor().getDataAsFloatArray()[0];
        optimiser.step(training.namedGradients(BATCH_METHOD));
      }
      float[] latent = new float[codebook.capacity()];
      float[] trained = new float[step.capacity()];
      codebook.duplicate().get(latent);
      step.duplicate().get(trained);
      keep(latent, trained);
      return losses;
    }
  }

  /** Takes over trained weights: the codebook as float32 [c * d] and its steps, 1 or c of them. */
  public void keep(float[] codebook, float[] step) {
    for (float value : step) {
      if (!(value > 0)) throw new IllegalStateException("training made a step of " + value + ": nothing was kept");
    }
    state.remove("remainder"); // what rounding had left of other weights
    state.put("codebook", Codebook.pack(codebook, step, bits, state.get("codebook")));
    state.put("step", BundleArray.of(step, state.get("step").shape));
  }

  /** Replaces state.bin as a whole: after a power cut there is the old one or the new one, never a part. */
  public void save() throws IOException {
    long generation = state.get("generation").longs()[0] + 1;
    state.put("generation", BundleArray.of(generation));
    byte[] body = ArrayFile.write(state);
    Path target = new File(folder, "state.bin").toPath();
    Path beside = new File(folder, "state.bin.new").toPath();
    try (FileChannel file =
        FileChannel.open(
            beside,
            StandardOpenOption.CREATE,
            StandardOpenOption.WRITE,
            StandardOpenOption.TRUNCATE_EXISTING)) {
      ByteBuffer content = ByteBuffer.allocate(32 + body.length).put(sha256(body)).put(body);
      content.flip();
      while (content.hasRemaining()) file.write(content);
      file.force(true);
    }
    Files.move(beside, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    try (FileChannel directory = FileChannel.open(folder.toPath(), StandardOpenOption.READ)) {
      directory.force(true); // the rename itself
    }
  }

  @Override
  public void close() {
    if (module != null) module.close();
    module = null;
  }

  /** Rows of the tables: retained entities in order, then the placeholders that pruned ones share. */
  private int[] slots(String side, int count) {
    byte[] kept = entities.get("retained_" + side + "s").bytes;
    long[] placeholders = entities.get(side + "_placeholder").longs();
    int[] slots = new int[count];
    int retained = 0;
    for (int entity = 0; entity < slots.length; entity++) if (isSet(kept, entity)) retained++;
    int rank = 0;
    int pruned = 0;
    for (int entity = 0; entity < slots.length; entity++) {
      slots[entity] = isSet(kept, entity) ? rank++ : retained + (int) placeholders[pruned++];
    }
    return slots;
  }

  private static boolean isSet(byte[] bits, int index) {
    return (bits[index / 8] >> (7 - index % 8) & 1) == 1;
  }

  /** How many users have touched each item. */
  int[] itemDegrees() throws IOException {
    int[] degrees = new int[itemSlots.length];
    interactions.forEach((user, item) -> degrees[item]++);
    for (long item : state.get("items").longs()) degrees[(int) item]++;
    return degrees;
  }

  /** The packed codebook as `encode` takes it: int8, float32, or bytes for 4 and 16 bits. */
  private Tensor codes() {
    BundleArray codebook = state.get("codebook");
    if (bits == 32) return floats(codebook);
    ByteBuffer data = ByteBuffer.allocateDirect(codebook.bytes.length).order(ByteOrder.nativeOrder());
    data.put(codebook.bytes).rewind();
    long[] shape = {codebook.shape[0], codebook.bytes.length / codebook.shape[0]};
    return bits == 8 ? Tensor.fromBlob(data, shape) : Tensor.fromBlobUnsigned(data, shape);
  }

  private static Tensor floats(BundleArray array) {
    return Tensor.fromBlob(array.floats(), array.shape);
  }

  private static Tensor slotTensor(int[] slots, int[] indices) {
    long[] chosen = new long[indices.length];
    for (int i = 0; i < indices.length; i++) chosen[i] = slots[indices[i]];
    return Tensor.fromBlob(chosen, new long[] {chosen.length});
  }

  private static FloatBuffer direct(float[] values) {
    FloatBuffer buffer = Tensor.allocateFloatBuffer(values.length);
    buffer.put(values).rewind();
    return buffer;
  }

  private static byte[] sha256(byte[] data) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(data);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }
}

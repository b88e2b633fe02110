package org.pytorch.executorch.training;

import java.io.Closeable;
import java.util.Map;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Tensor;

/** As ExecuTorch 1.5 declares it, without a body: only what the example calls. */
public class TrainingModule implements Closeable {
  public static TrainingModule load(String modelPath, String dataPath) {
    throw new UnsupportedOperationException();
  }

  public EValue[] executeForwardBackward(String methodName, EValue... inputs) {
    throw new UnsupportedOperationException();
  }

  public Map<String, Tensor> namedParameters(String methodName) {
    throw new UnsupportedOperationException();
  }

  public Map<String, Tensor> namedGradients(String methodName) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {
    throw new UnsupportedOperationException();
  }
}

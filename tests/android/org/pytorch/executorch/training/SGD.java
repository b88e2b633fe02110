package org.pytorch.executorch.training;

import java.util.Map;
import org.pytorch.executorch.Tensor;

/** As ExecuTorch 1.5 declares it, without a body: only what the example calls. */
public class SGD {
  public static SGD create(Map<String, Tensor> namedParameters, double learningRate) {
    throw new UnsupportedOperationException();
  }

  public void step(Map<String, Tensor> namedGradients) {
    throw new UnsupportedOperationException();
  }
}

package org.pytorch.executorch;

/** As ExecuTorch 1.5 declares it, without a body: only what the example calls. */
public class EValue {
  public static EValue from(Tensor tensor) {
    throw new UnsupportedOperationException();
  }

  public Tensor toTensor() {
    throw new UnsupportedOperationException();
  }
}

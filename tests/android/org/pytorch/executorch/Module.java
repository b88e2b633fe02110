package org.pytorch.executorch;

import java.io.Closeable;

/** As ExecuTorch 1.5 declares it, without a body: only what the example calls. */
public class Module implements Closeable {
  public static Module load(String modelPath) {
    throw new UnsupportedOperationException();
  }

  public EValue[] execute(String methodName, EValue... inputs) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {
    throw new UnsupportedOperationException();
  }
}

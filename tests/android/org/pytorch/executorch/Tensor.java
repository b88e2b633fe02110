package org.pytorch.executorch;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/** As ExecuTorch 1.5 declares it, without a body: only what the example calls. It has neither bool nor int16. */
public abstract class Tensor {
  public static FloatBuffer allocateFloatBuffer(int numElements) {
    throw new UnsupportedOperationException();
  }

  public static Tensor fromBlob(float[] data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  public static Tensor fromBlob(int[] data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  public static Tensor fromBlob(long[] data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  public static Tensor fromBlob(FloatBuffer data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  /** int8. */
  public static Tensor fromBlob(ByteBuffer data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  /** uint8. */
  public static Tensor fromBlobUnsigned(ByteBuffer data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  /** uint8. */
  public static Tensor fromBlobUnsigned(byte[] data, long[] shape) {
    throw new UnsupportedOperationException();
  }

  public long[] shape() {
    throw new UnsupportedOperationException();
  }

  public float[] getDataAsFloatArray() {
    throw new UnsupportedOperationException();
  }

  public long[] getDataAsLongArray() {
    throw new UnsupportedOperationException();
  }

  public Buffer getRawDataBuffer() {
    throw new UnsupportedOperationException();
  }
}

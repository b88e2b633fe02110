// Steps of the two optimisers that fine-tuning offers, over flat float32 arrays of `count` elements, in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

struct AdamOptions {
  double learning_rate;
  double beta1;
  double beta2;
  double eps;
  double weight_decay;  // added to the gradient as weight_decay * parameter
};

// Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1 with the order of operations of section 2's last paragraph):
// m and v are the running moments, zero before the first step; step counts from 1.
void adam_step(float* parameter, const float* gradient, float* m, float* v, size_t count, int64_t step,
               const AdamOptions& options);

// velocity = momentum * velocity + gradient; parameter -= learning_rate * velocity. A null velocity is plain descent.
void sgd_step(float* parameter, const float* gradient, float* velocity, size_t count, double learning_rate,
              double momentum);

}  // namespace lerg

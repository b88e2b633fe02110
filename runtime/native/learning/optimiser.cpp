#include "learning/optimiser.h"

#include <cmath>

#include "kernels/quantising/adam.h"
#include "session/threads.h"

namespace lerg {

void adam_step(float* parameter, const float* gradient, float* m, float* v, size_t count, int64_t step,
               const AdamOptions& options) {
  const double correction1 = 1.0 - std::pow(options.beta1, static_cast<double>(step));
  const double correction2 = 1.0 - std::pow(options.beta2, static_cast<double>(step));
  const float rate = static_cast<float>(options.learning_rate / correction1);
  const float root = static_cast<float>(1.0 / std::sqrt(correction2));
  const float beta1 = static_cast<float>(options.beta1), rest1 = static_cast<float>(1.0 - options.beta1);
  const float beta2 = static_cast<float>(options.beta2), rest2 = static_cast<float>(1.0 - options.beta2);
  const float eps = static_cast<float>(options.eps), decay = static_cast<float>(options.weight_decay);
  const PoolInUse pool;
  adam_update({parameter, gradient, m, v, 0, rate, root, beta1, rest1, beta2, rest2, eps, decay}, count);
}

void sgd_step(float* __restrict parameter, const float* __restrict gradient, float* __restrict velocity, size_t count,
              double learning_rate, double momentum) {
  const float rate = static_cast<float>(learning_rate);
  if (velocity == nullptr) {
    for (size_t i = 0; i < count; ++i) parameter[i] -= rate * gradient[i];
    return;
  }
  const float keep = static_cast<float>(momentum);
  for (size_t i = 0; i < count; ++i) {
    velocity[i] = keep * velocity[i] + gradient[i];
    parameter[i] -= rate * velocity[i];
  }
}

}  // namespace lerg

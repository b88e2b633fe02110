#include "kernels/ranking/ridge.h"

#include <cmath>

namespace lerg {
namespace {

constexpr size_t kTogether = 4;  // rows, so that the sums are read and written once for all of them

// Row `slot` as doubles, zeros past the last one.
void widen(const ItemRows& rows, size_t slot, double* to) {
  for (size_t column = 0; column < rows.dim; ++column) {
    if (slot >= rows.slots) {
      to[column] = 0;
    } else if (rows.floats != nullptr) {
      to[column] = rows.floats[slot * rows.dim + column];
    } else {
      to[column] = static_cast<double>(rows.codes[slot * rows.dim + column]) * rows.scales[slot];
    }
  }
}

// Lower triangle of the sum of count h h'.
void gram(const ItemRows& rows, double* part, double* sums) {
  const size_t dim = rows.dim;
  for (size_t cell = 0; cell < dim * dim; ++cell) sums[cell] = 0;
  for (size_t first = 0; first < rows.slots; first += kTogether) {
    double counts[kTogether];
    for (size_t next = 0; next < kTogether; ++next) {
      widen(rows, first + next, part + next * dim);
      counts[next] = first + next < rows.slots ? rows.counts[first + next] : 0;
    }
    const double *a = part, *b = a + dim, *c = b + dim, *d = c + dim;
    for (size_t row = 0; row < dim; ++row) {
      const double wa = counts[0] * a[row], wb = counts[1] * b[row], wc = counts[2] * c[row], wd = counts[3] * d[row];
      double* to = sums + row * dim;
      for (size_t column = 0; column <= row; ++column) {
        to[column] += wa * a[column] + wb * b[column] + wc * c[column] + wd * d[column];
      }
    }
  }
}

// The lower triangle of a positive definite matrix becomes that of the inverse of its Cholesky factor.
bool inverse_factor(double* matrix, size_t dim) {
  for (size_t row = 0; row < dim; ++row) {
    double* own = matrix + row * dim;
    for (size_t column = 0; column <= row; ++column) {
      const double* other = matrix + column * dim;
      double sum = own[column];
      for (size_t before = 0; before < column; ++before) sum -= own[before] * other[before];
      if (column < row) {
        own[column] = sum / other[column];
      } else if (sum > 0 && std::isfinite(sum)) {
        own[column] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  // Column by column: what lies below the diagonal is still the factor's.
  for (size_t column = 0; column < dim; ++column) {
    matrix[column * dim + column] = 1 / matrix[column * dim + column];
    for (size_t row = column + 1; row < dim; ++row) {
      double sum = 0;
      for (size_t between = column; between < row; ++between) {
        sum -= matrix[row * dim + between] * matrix[between * dim + column];
      }
      matrix[row * dim + column] = sum / matrix[row * dim + row];
    }
  }
  return true;
}

}  // namespace

bool ridge_metric(const ItemRows& rows, double ridge, double* work, float* out) {
  if (!(ridge > 0) || !std::isfinite(ridge)) return false;
  const size_t dim = rows.dim;
  double* matrix = work + kTogether * dim;
  gram(rows, work, matrix);
  double trace = 0;
  for (size_t row = 0; row < dim; ++row) trace += matrix[row * dim + row];
  if (!std::isfinite(trace)) return false;
  const double scale = trace > 0 ? static_cast<double>(dim) / trace : 0;
  for (size_t row = 0; row < dim; ++row) {
    for (size_t column = 0; column <= row; ++column) matrix[row * dim + column] *= scale;
    matrix[row * dim + row] += ridge;
  }
  if (!inverse_factor(matrix, dim)) return false;
  // M = F' F, F the inverse of the factor.
  for (size_t row = 0; row < dim; ++row) {
    for (size_t column = 0; column <= row; ++column) {
      double sum = 0;
      for (size_t below = row; below < dim; ++below) sum += matrix[below * dim + row] * matrix[below * dim + column];
      out[row * dim + column] = out[column * dim + row] = static_cast<float>(sum);
    }
  }
  return true;
}

}  // namespace lerg

#include "plan/signatures.h"

#include <executorch/runtime/core/exec_aten/exec_aten.h>

#include <stdexcept>

namespace lerg {
namespace {

// One argument after the other:
//   T tensor, L list of tensors, I integer, P integer above 0, N number, D double, B bool, M rounding of a division,
//   S list of integers, V list of sizes, O out, W list of outs, A assigned integer, E view of the first argument,
//   R what is returned. `?` after it: may be null. `:fl` types, `:=0` type of argument 0; `/1-4` ranks.
// [a b] the sizes of an out: `0.1` dimension 1 of argument 0, `3*0.1` three times it, `#4` the value of argument 4, `*`
// whatever its kernel gives. Where sizes vary these are the largest.
struct Entry {
  const char* name;
  const char* arguments;
};

#define LERG_GRAPH "T:bui/2, T:bui/2, T:i/1, T:bui/1"
#define LERG_ENTRIES "T:bui/2, T:c/2, T:b/1, T:f/1"
#define LERG_TRIPLES "T:l/1, T:l/1, T:l/1"

constexpr Entry kEntries[] = {
    // Of the native lowering.
    {"lerg::fake_quantise.out", "T:f/2, T:f/1, I, O:f/2 [0.0 0.1], R"},
    {"lerg::fake_quantise_grad_codebook.out", "T:f/2, T:f/2, T:f/1, I, O:f/2 [1.0 1.1], R"},
    {"lerg::fake_quantise_grad_step.out", "T:f/2, T:f/2, T:f/1, I, O:f/1 [2.0], R"},
    {"lerg::dequantise.out", "T:bchf/2, T:f/1, I, O:f/2 [0.0 *], R"},
    {"lerg::propagate_rows.out", "T:f/2, " LERG_GRAPH ", T:f/2, T:l/1, I, I, D, I, B, O:f/2 [6.0 0.1], R"},
    {"lerg::propagate_rows_grad.out", "T:f/2, " LERG_GRAPH ", T:l/1, I, I, D, I, I, B, O:f/2 [#9 0.1], R"},
    {"lerg::propagate_table.out", "T:f/2, " LERG_GRAPH ", T:f/2, I, I, D, I, B, O:f/2 [* 0.1], R"},
    {"lerg::folded_rows.out",
     "T:f/2, T:f/1, " LERG_ENTRIES ", T:f/2, " LERG_TRIPLES ", I, I, I, O:f/2 [3*7.0 0.1], R"},
    {"lerg::folded_loss.out", "T:f/2, T:f/2, T:f/1, " LERG_ENTRIES ", " LERG_TRIPLES ", I, I, D, O:f/0 [], R"},
    {"lerg::folded_loss_grad.out",
     "T:f/0, T:f/2, " LERG_ENTRIES ", " LERG_TRIPLES ", I, I, D, O:f/2 [#10 1.1], R"},
    {"lerg::folded_table.out", "T:bch/2, T:f/1, " LERG_ENTRIES ", T:f/2, I, I, I, I, O:f/2 [* *], R"},
    {"lerg::top_items.out", "T:f/2, T:f/2, T:i/1, T:o/2, T:l/1, O:l/2 [0.0 4.0], R"},
    {"lerg::score_items.out", "T:f/2, T:f/2, T:i/1, T:l/2, O:f/2 [0.0 3.1], R"},
    {"lerg::row_scales.out", "T:f/2, O:f/1 [0.0], R"},
    {"lerg::quantise_rows.out", "T:f/2, O:c/2 [0.0 0.1], R"},
    {"lerg::top_items_int8.out", "T:f/2, T:c/2, T:f/1, T:i/1, T:o/2, T:l/1, O:l/2 [0.0 5.0], R"},
    {"lerg::score_items_int8.out", "T:f/2, T:c/2, T:f/1, T:i/1, T:l/2, O:f/2 [0.0 4.1], R"},
    // Stock operators that the tracing protocol or the portable lowering leaves.
    {"aten::_to_copy.out", "T, B, I?, O, R"},
    {"aten::abs.out", "T:fd, O:=0, R"},
    {"aten::add.Scalar_out", "T:fdli, N, N, O:=0, R"},
    {"aten::add.out", "T:fdli, T:=0, N, O:=0, R"},
    {"aten::addmm.out", "T:f/1-2, T:f/2, T:f/2, N, N, O:f/2, R"},
    {"aten::arange.start_out", "N, N, N, O:fdli/1, R"},
    {"aten::bmm.out", "T:f/3, T:f/3, O:f/3, R"},
    {"aten::cat.out", "L, I, O:=0, R"},
    {"aten::clamp.out", "T:fdli, N?, N?, O:=0, R"},
    {"aten::clone.out", "T, I?, O:=0, R"},
    {"aten::cumsum.out", "T:fdli/1-4, I, I?, O:fdli, R"},
    {"aten::div.Scalar_out", "T:fd, N, O:=0, R"},
    {"aten::div.out", "T:fd, T:=0, O:=0, R"},
    {"aten::div.out_mode", "T:li, T:=0, M, O:=0, R"},
    {"aten::embedding.out", "T:f/2, T:li, I, B, B, O:f, R"},
    {"aten::eq.Tensor_out", "T:fdlio, T:=0, O:o, R"},
    {"aten::exp.out", "T:fd, O:=0, R"},
    {"aten::expand_copy.out", "T, S, B, O:=0, R"},
    {"aten::floor.out", "T:fd, O:=0, R"},
    {"aten::full.out", "S, N, O, R"},
    {"aten::full_like.out", "T, N, I?, O, R"},
    {"aten::gather.out", "T:fdli/1-4, I, T:l/1-4, B, O:=0, R"},
    {"aten::ge.Scalar_out", "T:fdli, N, O:o, R"},
    {"aten::gt.Scalar_out", "T:fdli, N, O:o, R"},
    {"aten::index_select.out", "T/1-4, I, T:li/1, O:=0, R"},
    {"aten::log1p.out", "T:fd, O:=0, R"},
    {"aten::logical_and.out", "T:o, T:o, O:o, R"},
    {"aten::logical_not.out", "T:bo, O:o, R"},
    {"aten::lt.Scalar_out", "T:fdli, N, O:o, R"},
    {"aten::mean.dtype_out", "T:fd, I?, O:=0, R"},
    {"aten::mm.out", "T:f/2, T:f/2, O:f/2, R"},
    {"aten::mul.out", "T:fdli, T:=0, O:=0, R"},
    {"aten::neg.out", "T:fdli, O:=0, R"},
    {"aten::permute_copy.out", "T/1-4, S, O:=0, R"},
    {"aten::scalar_tensor.out", "N, O:fdlio/0, R"},
    {"aten::scatter_add.out", "T:fdli/1-4, I, T:l/1-4, T:=0/1-4, O:=0, R"},
    {"aten::select_copy.int_out", "T/1-4, I, I, O:=0, R"},
    {"aten::slice_copy.Tensor_out", "T/1-4, I, I?, I?, P, O:=0, R"},
    {"aten::split_with_sizes_copy.out", "T/1-4, S, I, W:=0, R"},
    {"aten::sub.out", "T:fdli, T:=0, N, O:=0, R"},
    {"aten::sum.IntList_out", "T:fdli/1-4, S?, B, I?, O:=0, R"},
    {"aten::sym_size.int", "T, I, A"},
    {"aten::topk.values", "T:fdli/1-4, I, I, B, B, O:=0, O:l, R"},
    {"aten::unsqueeze_copy.out", "T, I, O:=0, R"},
    {"aten::view_copy.out", "T, V, O:=0, R"},
    {"aten::where.self_out", "T:o, T:fdlio, T:=1, O:=1, R"},
    {"dim_order_ops::_to_dim_order_copy.out", "T, B, S?, O, R"},
    {"executorch_prim::add.Scalar", "I, I, A"},
    {"executorch_prim::et_view.default", "T, V, E:=0"},
    {"executorch_prim::floordiv.Scalar", "I, P, A"},
    {"executorch_prim::mul.Scalar", "I, I, A"},
    {"executorch_prim::sub.Scalar", "I, I, A"},
};

ArgumentKind kind_of(char letter) {
  switch (letter) {
    case 'T': return ArgumentKind::kTensor;
    case 'L': return ArgumentKind::kTensors;
    case 'I': return ArgumentKind::kInteger;
    case 'P': return ArgumentKind::kPositive;
    case 'N': return ArgumentKind::kNumber;
    case 'D': return ArgumentKind::kDouble;
    case 'B': return ArgumentKind::kBool;
    case 'M': return ArgumentKind::kRounding;
    case 'S': return ArgumentKind::kIntegers;
    case 'V': return ArgumentKind::kSizes;
    case 'O': return ArgumentKind::kOut;
    case 'W': return ArgumentKind::kOuts;
    case 'A': return ArgumentKind::kAssigned;
    case 'E': return ArgumentKind::kView;
    case 'R': return ArgumentKind::kReturned;
    default: throw std::logic_error(std::string("no argument is written ") + letter);
  }
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) found.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return found;
}

ArgumentRule parse_argument(const std::string& text) {
  ArgumentRule rule;
  rule.kind = kind_of(text.at(0));
  size_t at = 1;
  if (at < text.size() && text[at] == '?') rule.optional = true, ++at;
  if (at < text.size() && text[at] == ':') {
    const size_t end = std::min(text.find_first_of("/ ", at), text.size());
    const std::string types = text.substr(at + 1, end - at - 1);
    if (types[0] == '=') rule.same_as = std::stoi(types.substr(1));
    else rule.types = types;
    at = end;
  }
  if (at < text.size() && text[at] == '/') {
    rule.least_rank = text.at(at + 1) - '0';
    rule.most_rank = at + 2 < text.size() && text[at + 2] == '-' ? text.at(at + 3) - '0' : rule.least_rank;
  }
  const size_t open = text.find('[');
  if (open != std::string::npos) rule.sizes = words(text.substr(open + 1, text.size() - open - 2));
  return rule;
}

Signature parse(const char* text) {
  Signature signature{text, {}};
  const std::string all = text;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find(", ", at), all.size());
    signature.arguments.push_back(parse_argument(all.substr(at, end - at)));
    at = end + 2;
  }
  return signature;
}

}  // namespace

const std::map<std::string, Signature, std::less<>>& signatures() {
  static const auto table = [] {
    std::map<std::string, Signature, std::less<>> parsed;
    for (const Entry& entry : kEntries) parsed.emplace(entry.name, parse(entry.arguments));
    return parsed;
  }();
  return table;
}

char element_letter(int scalar_type) {
  using executorch::aten::ScalarType;
  switch (static_cast<ScalarType>(scalar_type)) {
    case ScalarType::Float: return 'f';
    case ScalarType::Double: return 'd';
    case ScalarType::Long: return 'l';
    case ScalarType::Int: return 'i';
    case ScalarType::Short: return 'h';
    case ScalarType::Char: return 'c';
    case ScalarType::Byte: return 'b';
    case ScalarType::UInt16: return 'u';
    case ScalarType::Bool: return 'o';
    default: return 0;
  }
}

}  // namespace lerg

/* Passes of convolutions by oneDNN's own API, as its benchdnn measures them: a
 * primitive for each, memory in the layouts that the library prefers for it,
 * data brought into them beforehand. Compiled and called by onednn.py. */
#include <algorithm>
#include <random>
#include <string>
#include <unordered_map>

#include "dnnl.hpp"

using dnnl::memory;

namespace {

struct Shape {
  int n, h, w, c, o, kh, kw, stride, pad;
};

struct Pass {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> operands;
  std::string implementation;
};

dnnl::engine &engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream &stream() {
  static dnnl::stream in_order(engine());
  return in_order;
}

/* Numbers in [-1,1) in the layout wanted; whatever pads its blocks is zero. */
memory uniform(const memory::desc &wanted) {
  memory plain({wanted.get_dims(), memory::data_type::f32, memory::format_tag::abcd}, engine()), out(wanted, engine());
  auto *first = static_cast<float *>(plain.get_data_handle());
  std::minstd_rand source;
  std::generate_n(first, plain.get_desc().get_size() / sizeof(float), [&] { return std::uniform_real_distribution<float>(-1, 1)(source); });
  dnnl::reorder(plain, out).execute(stream(), plain, out);
  stream().wait();
  return out;
}

Pass make(const std::string &name, const Shape &s) {
  auto any = [](memory::dims dims) { return memory::desc(dims, memory::data_type::f32, memory::format_tag::any); };
  const auto x = any({s.n, s.c, s.h, s.w}), w = any({s.o, s.c, s.kh, s.kw}),
             y = any({s.n, s.o, (s.h + 2 * s.pad - s.kh) / s.stride + 1, (s.w + 2 * s.pad - s.kw) / s.stride + 1});
  const memory::dims strides{s.stride, s.stride}, pad{s.pad, s.pad};
  const auto algorithm = dnnl::algorithm::convolution_auto; /* Winograd's too, where the library has it */
  const dnnl::convolution_forward::primitive_desc forward(engine(), dnnl::prop_kind::forward_training, algorithm, x, w, y, strides, pad, pad);
  if (name == "forward")
    return {dnnl::convolution_forward(forward),
            {{DNNL_ARG_SRC, uniform(forward.src_desc())}, {DNNL_ARG_WEIGHTS, uniform(forward.weights_desc())}, {DNNL_ARG_DST, memory(forward.dst_desc(), engine())}},
            forward.impl_info_str()};
  if (name == "data gradient") {
    const dnnl::convolution_backward_data::primitive_desc p(engine(), algorithm, x, w, y, strides, pad, pad, forward);
    return {dnnl::convolution_backward_data(p),
            {{DNNL_ARG_DIFF_DST, uniform(p.diff_dst_desc())}, {DNNL_ARG_WEIGHTS, uniform(p.weights_desc())}, {DNNL_ARG_DIFF_SRC, memory(p.diff_src_desc(), engine())}},
            p.impl_info_str()};
  }
  const dnnl::convolution_backward_weights::primitive_desc p(engine(), algorithm, x, w, y, strides, pad, pad, forward);
  return {dnnl::convolution_backward_weights(p),
          {{DNNL_ARG_SRC, uniform(p.src_desc())}, {DNNL_ARG_DIFF_DST, uniform(p.diff_dst_desc())}, {DNNL_ARG_DIFF_WEIGHTS, memory(p.diff_weights_desc(), engine())}},
          p.impl_info_str()};
}

} // namespace

extern "C" {

/* The version of the library that is loaded. */
const char *onednn_version() {
  static const std::string text = [] {
    const auto *v = dnnl::version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return text.c_str();
}

/* The pass called forward, data gradient or weight gradient, which is kept until
 * the process ends; null where the library cannot do it. */
const Pass *onednn_pass(const char *name, const Shape *shape) {
  try {
    return new Pass(make(name, *shape));
  } catch (const dnnl::error &) {
    return nullptr;
  }
}

/* The library's name for how it does the pass. */
const char *onednn_implementation(const Pass *pass) { return pass->implementation.c_str(); }

/* Runs the pass once. Returns 0, or 1 where the library fails. */
int onednn_run(const Pass *pass) {
  try {
    pass->primitive.execute(stream(), pass->operands);
    stream().wait();
  } catch (const dnnl::error &) {
    return 1;
  }
  return 0;
}
}

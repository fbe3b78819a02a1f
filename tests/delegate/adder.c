/* A TensorFlow Lite delegate that computes float32 ADD: the smallest real one, for tests.
 *
 *     cc -shared -fPIC -o libadder.so adder.c
 *
 * Options: limit=N takes the first N additions only; refuse=1 refuses every graph; wrong=1 computes a + b + 1.
 * The declarations repeat the C interface that LiteRT promises to external delegates (common.h and
 * external_delegate_interface.h of TensorFlow Lite, Apache-2.0): no wheel carries the headers.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kOk = 0, kError = 1, kFloat32 = 1, kBuiltinAdd = 0, kBuiltinDelegate = 51 };

typedef struct { int size; int data[]; } IntArray;
typedef struct { float scale; int32_t zero_point; } Quantization;
typedef struct Delegate Delegate;
typedef struct Context Context;
typedef struct { int activation; } AddParams;

typedef struct {
  int type;
  void* data;
  IntArray* dims;
  Quantization params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  Delegate* delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void* params; } quantization;
  void* sparsity;
  const IntArray* dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data, *builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  Delegate* delegate;
  bool might_have_side_effect;
} Node;

typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, Node*);
  int (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void *registration_external, *async_kernel;
  uint64_t inplace_operator;
} Registration;

struct Context {
  size_t tensors_size;
  int (*execution_plan)(Context*, IntArray**);
  Tensor* tensors;
  void* impl;
  int (*resize_tensor)(Context*, Tensor*, IntArray*);
  void (*report_error)(Context*, const char*, ...);
  int (*add_tensors)(Context*, int, int*);
  int (*node_and_registration)(Context*, int, Node**, Registration**);
  int (*replace_nodes)(Context*, Registration, const IntArray*, Delegate*);
};

struct Delegate {
  void* data;
  int (*prepare)(Context*, Delegate*);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void* opaque_builder;
};

typedef struct { Delegate* delegate; IntArray *nodes, *inputs, *outputs; } Piece;
typedef struct { int limit; bool refuse, wrong; } Options;
typedef struct { int left, right, sum; float* own; } Addition; /* own: a sum nobody outside asks for */
typedef struct { int count; bool wrong; Addition additions[]; } Kernel;

static bool contains(const IntArray* list, int value) {
  for (int i = 0; i < list->size; i++)
    if (list->data[i] == value) return true;
  return false;
}

static void* kernel_init(Context* context, const char* buffer, size_t length) {
  (void)length;
  const Piece* piece = (const Piece*)buffer;
  Kernel* kernel = calloc(1, sizeof(Kernel) + (size_t)piece->nodes->size * sizeof(Addition));
  kernel->count = piece->nodes->size;
  kernel->wrong = ((Options*)piece->delegate->data)->wrong;
  for (int i = 0; i < kernel->count; i++) {
    Node* node;
    Registration* registration;
    if (context->node_and_registration(context, piece->nodes->data[i], &node, &registration)) continue;
    Addition* addition = &kernel->additions[i];
    addition->left = node->inputs->data[0];
    addition->right = node->inputs->data[1];
    addition->sum = node->outputs->data[0];
    if (!contains(piece->outputs, addition->sum))
      addition->own = malloc(context->tensors[addition->sum].bytes);
  }
  return kernel;
}

static void kernel_free(Context* context, void* data) {
  (void)context;
  Kernel* kernel = data;
  for (int i = 0; i < kernel->count; i++) free(kernel->additions[i].own);
  free(kernel);
}

static int kernel_prepare(Context* context, Node* node) {
  (void)context, (void)node;
  return kOk;
}

static float* values(Context* context, const Kernel* kernel, int tensor) {
  for (int i = 0; i < kernel->count; i++)
    if (kernel->additions[i].sum == tensor && kernel->additions[i].own) return kernel->additions[i].own;
  return context->tensors[tensor].data;
}

static int kernel_invoke(Context* context, Node* node) {
  const Kernel* kernel = node->user_data;
  for (int i = 0; i < kernel->count; i++) {
    const Addition* addition = &kernel->additions[i];
    const float* left = values(context, kernel, addition->left);
    const float* right = values(context, kernel, addition->right);
    float* sum = values(context, kernel, addition->sum);
    size_t count = context->tensors[addition->sum].bytes / sizeof(float);
    for (size_t n = 0; n < count; n++) sum[n] = left[n] + right[n] + (kernel->wrong ? 1.0f : 0.0f);
  }
  return kOk;
}

static bool can_take(const Context* context, const Node* node, const Registration* registration) {
  if (registration->builtin_code != kBuiltinAdd || ((AddParams*)node->builtin_data)->activation) return false;
  const Tensor* left = &context->tensors[node->inputs->data[0]];
  const Tensor* right = &context->tensors[node->inputs->data[1]];
  return left->type == kFloat32 && right->type == kFloat32 && left->bytes == right->bytes;
}

static int prepare(Context* context, Delegate* delegate) {
  const Options* options = delegate->data;
  if (options->refuse) {
    context->report_error(context, "adder: this graph is not for me");
    return kError;
  }
  IntArray* plan;
  if (context->execution_plan(context, &plan)) return kError;
  IntArray* taken = malloc(sizeof(int) * ((size_t)plan->size + 1));
  taken->size = 0;
  for (int i = 0; i < plan->size && taken->size < options->limit; i++) {
    Node* node;
    Registration* registration;
    if (context->node_and_registration(context, plan->data[i], &node, &registration)) continue;
    if (can_take(context, node, registration)) taken->data[taken->size++] = plan->data[i];
  }
  Registration kernel = {.init = kernel_init, .free = kernel_free, .prepare = kernel_prepare};
  kernel.invoke = kernel_invoke;
  kernel.builtin_code = kBuiltinDelegate;
  kernel.custom_name = "adder";
  kernel.version = 1;
  int status = context->replace_nodes(context, kernel, taken, delegate);
  free(taken);
  return status;
}

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                        void (*report_error)(const char*)) {
  Options options = {INT32_MAX, false, false};
  for (size_t i = 0; i < count; i++) {
    if (strcmp(keys[i], "limit") == 0) {
      options.limit = atoi(values[i]);
    } else if (strcmp(keys[i], "refuse") == 0) {
      options.refuse = atoi(values[i]);
    } else if (strcmp(keys[i], "wrong") == 0) {
      options.wrong = atoi(values[i]);
    } else if (strcmp(keys[i], "device") == 0) {
      report_error("no such device");
      return NULL;
    } else if (strcmp(keys[i], "crash") == 0) {
      abort();
    } else {
      char line[200];
      snprintf(line, sizeof line, "unknown option: %s", keys[i]);
      report_error(line);
      return NULL;
    }
  }
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->data = malloc(sizeof(Options));
  memcpy(delegate->data, &options, sizeof(Options));
  delegate->prepare = prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) {
  if (!delegate) return;
  free(delegate->data);
  free(delegate);
}

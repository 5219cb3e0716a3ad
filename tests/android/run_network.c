// Runs a network in TensorFlow Lite's library for Android through its C interface, with the delegate made by the native
// methods of its Java class, which get an environment of this program's own in the place of Java's:
//
//   run_network LIBTENSORFLOWLITE_JNI LIBLARQ_MELIUS_DELEGATE MODEL INPUT OUTPUT
//
// A delegate without these methods is made by its two entry points.
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Env {
  void* const* functions;
} Env;

// Objects of this Java: strings are char*, arrays begin with their length, classes are their names.
typedef struct Array {
  int32_t length;
  const char* elements[2];
} Array;

static char thrown[256];
static void* FindClass(Env* env, const char* name) { return (void)env, (void*)name; }
static int32_t ThrowNew(Env* env, void* error_class, const char* message) {
  (void)env;
  snprintf(thrown, sizeof(thrown), "%s: %s", (const char*)error_class, message);
  return 0;
}
static void DeleteLocalRef(Env* env, void* object) { (void)env, (void)object; }
static void* NewStringUTF(Env* env, const char* text) { return (void)env, strdup(text); }
static const char* GetStringUTFChars(Env* env, void* string, uint8_t* copied) {
  return (void)env, (void)copied, string;
}
static void ReleaseStringUTFChars(Env* env, void* string, const char* text) { (void)env, (void)string, (void)text; }
static int32_t GetArrayLength(Env* env, Array* array) { return (void)env, array->length; }
static void* GetObjectArrayElement(Env* env, Array* array, int32_t index) {
  return (void)env, (void*)array->elements[index];
}

static void Fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void* Find(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == NULL) Fail(name, "not there");
  return found;
}

static void* ReadFile(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) Fail(path, "cannot be read");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  void* data = malloc(*size);
  if (fread(data, 1, *size, file) != *size) Fail(path, "cannot be read");
  fclose(file);
  return data;
}

#define CALL(result, name, ...) ((result (*)(__VA_ARGS__))Find(tflite, name))

int main(int count, char** arguments) {
  if (count != 6) Fail(arguments[0], "wants TFLITE DELEGATE MODEL INPUT OUTPUT");
  void* tflite = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (tflite == NULL) Fail(arguments[1], dlerror());
  void* library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) Fail(arguments[2], dlerror());

  void* functions[233] = {0};
  functions[6] = FindClass;
  functions[14] = ThrowNew;
  functions[23] = DeleteLocalRef;
  functions[167] = NewStringUTF;
  functions[169] = GetStringUTFChars;
  functions[170] = ReleaseStringUTFChars;
  functions[171] = GetArrayLength;
  functions[173] = GetObjectArrayElement;
  Env env = {functions};
  int64_t (*create)(Env*, void*, Array*, Array*) = dlsym(library, "Java_org_larqmelius_delegate_MeliusDelegate_create");
  void* delegate;
  if (create != NULL) {
    Array unknown = {1, {"speed"}}, high = {1, {"high"}};
    if (create(&env, NULL, &unknown, &high) != 0) Fail("an unknown option", "was taken");
    printf("refused: %s\n", thrown);
    Array keys = {1, {"profile"}}, values = {1, {"1"}};
    delegate = (void*)(intptr_t)create(&env, NULL, &keys, &values);
  } else {
    void* (*plugin)(void*, void*, size_t, void*) = Find(library, "tflite_plugin_create_delegate");
    delegate = plugin(NULL, NULL, 0, NULL);
  }
  if (delegate == NULL) Fail("the delegate", thrown);

  void* xnnpack = CALL(void*, "TfLiteXNNPackDelegateCreate", void*)(NULL);
  void* model = CALL(void*, "TfLiteModelCreateFromFile", const char*)(arguments[3]);
  if (model == NULL) Fail(arguments[3], "is no model");
  void* options = CALL(void*, "TfLiteInterpreterOptionsCreate", void)();
  CALL(void, "TfLiteInterpreterOptionsSetNumThreads", void*, int32_t)(options, 2);
  CALL(void, "TfLiteInterpreterOptionsAddDelegate", void*, void*)(options, delegate);
  CALL(void, "TfLiteInterpreterOptionsAddDelegate", void*, void*)(options, xnnpack);
  void* interpreter = CALL(void*, "TfLiteInterpreterCreate", void*, void*)(model, options);
  if (interpreter == NULL) Fail("the interpreter", "could not be made");
  if (CALL(int, "TfLiteInterpreterAllocateTensors", void*)(interpreter) != 0) Fail("the tensors", "have no memory");
  size_t size;
  void* input = ReadFile(arguments[4], &size);
  void* tensor = CALL(void*, "TfLiteInterpreterGetInputTensor", void*, int32_t)(interpreter, 0);
  if (CALL(int, "TfLiteTensorCopyFromBuffer", void*, void*, size_t)(tensor, input, size) != 0) {
    Fail(arguments[4], "is not of the input's size");
  }
  if (CALL(int, "TfLiteInterpreterInvoke", void*)(interpreter) != 0) Fail("the network", "did not run");
  const void* output = CALL(const void*, "TfLiteInterpreterGetOutputTensor", void*, int32_t)(interpreter, 0);
  FILE* file = fopen(arguments[5], "wb");
  if (file == NULL) Fail(arguments[5], "cannot be written");
  fwrite(CALL(const void*, "TfLiteTensorData", const void*)(output), 1,
         CALL(size_t, "TfLiteTensorByteSize", const void*)(output), file);
  fclose(file);

  if (create != NULL) {
    int32_t (*claimed)(Env*, void*, int64_t) =
        Find(library, "Java_org_larqmelius_delegate_MeliusDelegate_claimedOperators");
    char* (*profile)(Env*, void*, int64_t) = Find(library, "Java_org_larqmelius_delegate_MeliusDelegate_profile");
    printf("claimed: %d\n%s\n", claimed(&env, NULL, (intptr_t)delegate), profile(&env, NULL, (intptr_t)delegate));
    CALL(void, "TfLiteInterpreterDelete", void*)(interpreter);
    printf("claimed when closed: %d\n", claimed(&env, NULL, (intptr_t)delegate));
    void (*destroy)(Env*, void*, int64_t) = Find(library, "Java_org_larqmelius_delegate_MeliusDelegate_destroy");
    destroy(&env, NULL, (intptr_t)delegate);
  } else {
    CALL(void, "TfLiteInterpreterDelete", void*)(interpreter);
    void (*destroy)(void*) = Find(library, "tflite_plugin_destroy_delegate");
    destroy(delegate);
  }
  CALL(void, "TfLiteXNNPackDelegateDelete", void*)(xnnpack);
  return 0;
}

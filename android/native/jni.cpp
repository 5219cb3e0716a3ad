// The native methods of org.larqmelius.delegate.MeliusDelegate. No exception of C++ passes them.
#include <exception>
#include <string>
#include <vector>

#include "delegate.h"
#include "jni_abi.h"

namespace larq_melius {
namespace {

using jni::Env;
using jni::Object;

void Throw(Env* env, const char* class_name, const char* message) {
  const Object error_class = env->FindClass(class_name);
  // Null: Java has thrown already.
  if (error_class != nullptr) env->ThrowNew(error_class, message);
}

// False where Java has no memory, and has thrown.
bool ReadStrings(Env* env, Object array, std::vector<std::string>* strings) {
  const int32_t count = env->GetArrayLength(array);
  for (int32_t i = 0; i < count; ++i) {
    const Object string = env->GetObjectArrayElement(array, i);
    const char* text = env->GetStringUTFChars(string);
    if (text == nullptr) return false;
    strings->emplace_back(text);
    env->ReleaseStringUTFChars(string, text);
    env->DeleteLocalRef(string);
  }
  return true;
}

TfLiteDelegate* ToDelegate(int64_t handle) { return reinterpret_cast<TfLiteDelegate*>(static_cast<intptr_t>(handle)); }

}  // namespace
}  // namespace larq_melius

#define LARQ_MELIUS_JNI(result) extern "C" __attribute__((visibility("default"))) result

LARQ_MELIUS_JNI(int64_t)
Java_org_larqmelius_delegate_MeliusDelegate_create(larq_melius::jni::Env* env, larq_melius::jni::Object /*class*/,
                                                   larq_melius::jni::Object keys, larq_melius::jni::Object values) {
  using namespace larq_melius;
  try {
    std::vector<std::string> key_strings, value_strings;
    if (!ReadStrings(env, keys, &key_strings) || !ReadStrings(env, values, &value_strings)) return 0;
    return static_cast<int64_t>(reinterpret_cast<intptr_t>(CreateDelegate(key_strings, value_strings)));
  } catch (const std::bad_alloc&) {
    Throw(env, "java/lang/OutOfMemoryError", "larq-melius: out of memory");
  } catch (const std::exception& error) {
    Throw(env, "java/lang/IllegalArgumentException", error.what());
  }
  return 0;
}

LARQ_MELIUS_JNI(void)
Java_org_larqmelius_delegate_MeliusDelegate_destroy(larq_melius::jni::Env* /*env*/, larq_melius::jni::Object /*class*/,
                                                    int64_t handle) {
  larq_melius::DestroyDelegate(larq_melius::ToDelegate(handle));
}

LARQ_MELIUS_JNI(larq_melius::jni::Object)
Java_org_larqmelius_delegate_MeliusDelegate_profile(larq_melius::jni::Env* env, larq_melius::jni::Object /*class*/,
                                                    int64_t handle) {
  using namespace larq_melius;
  try {
    return env->NewStringUTF(PlanText(ToDelegate(handle)).c_str());
  } catch (const std::exception&) {
    Throw(env, "java/lang/OutOfMemoryError", "larq-melius: out of memory");
  }
  return nullptr;
}

LARQ_MELIUS_JNI(int32_t)
Java_org_larqmelius_delegate_MeliusDelegate_claimedOperators(larq_melius::jni::Env* /*env*/,
                                                             larq_melius::jni::Object /*class*/, int64_t handle) {
  return larq_melius::ClaimedOperators(larq_melius::ToDelegate(handle));
}

// The part of the Java Native Interface that the delegate uses, by the numbers that its specification gives the
// functions ("Interface Function Table"): the library is built without a JDK and without the NDK.
#ifndef LARQ_MELIUS_ANDROID_JNI_ABI_H_
#define LARQ_MELIUS_ANDROID_JNI_ABI_H_

#include <cstdint>

namespace larq_melius::jni {

using Object = void*;  // any reference to a Java object

// What a native method gets: the address of the table of functions.
struct Env {
  void* const* functions;

  Object FindClass(const char* name) { return Call<6, Object>(name); }
  void ThrowNew(Object error_class, const char* message) { Call<14, int32_t>(error_class, message); }
  void DeleteLocalRef(Object reference) { Call<23, void>(reference); }
  Object NewStringUTF(const char* text) { return Call<167, Object>(text); }
  // Null where there is no memory; an exception is pending then.
  const char* GetStringUTFChars(Object string) {
    return Call<169, const char*>(string, static_cast<uint8_t*>(nullptr));
  }
  void ReleaseStringUTFChars(Object string, const char* text) { Call<170, void>(string, text); }
  int32_t GetArrayLength(Object array) { return Call<171, int32_t>(array); }
  Object GetObjectArrayElement(Object array, int32_t index) { return Call<173, Object>(array, index); }

 private:
  template <int kSlot, typename Result, typename... Arguments>
  Result Call(Arguments... arguments) {
    return reinterpret_cast<Result (*)(Env*, Arguments...)>(functions[kSlot])(this, arguments...);
  }
};

}  // namespace larq_melius::jni

#endif  // LARQ_MELIUS_ANDROID_JNI_ABI_H_

// libcurl's public interface, and its variadic functions by type: Swift calls no C function with `...`.
#pragma once
// First, so that this module does not become the owner of what curl.h includes of the C library: Swift's optimized
// builds then find SOCK_STREAM in no file that imports Glibc alone.
#pragma clang module import SwiftGlibc
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

typedef size_t (*bh_curl_sink)(char *, size_t, size_t, void *);

static inline CURLcode bh_curl_set_long(CURL *easy, CURLoption option, long value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode bh_curl_set_string(CURL *easy, CURLoption option, const char *value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode bh_curl_set_pointer(CURL *easy, CURLoption option, void *value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode bh_curl_set_sink(CURL *easy, CURLoption option, bh_curl_sink value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode bh_curl_set_socket_maker(CURL *easy, curl_opensocket_callback value) {
  return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, value);
}

// The bytes are copied.
static inline CURLcode bh_curl_set_blob(CURL *easy, CURLoption option, const void *bytes, size_t count) {
  struct curl_blob blob = {(void *)bytes, count, CURL_BLOB_COPY};
  return curl_easy_setopt(easy, option, &blob);
}

// libnghttp2's public interface, for the GRPCNGHTTP2 module alone.
#pragma once
#include <nghttp2/nghttp2.h>

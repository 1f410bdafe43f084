// A client's stream, as the threads that serve it know it.
#pragma once

#include "coordinator/events.h"

namespace conclave {

class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // On the stream's text worker, in order, up to and including one part with an ending; what comes
  // after that is ignored. Takes the part's contents.
  virtual void Deliver(StreamPart& part) = 0;
  // On the stream's text worker: something that Deliver could not send at once may go now.
  virtual void Pump() = 0;
  // Any thread, while the stream is expected (Switchboard::Expect): what it asks for is not wanted
  // any more.
  virtual void Abort() = 0;
};

}  // namespace conclave

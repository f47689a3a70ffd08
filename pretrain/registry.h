// SPDX-License-Identifier: Apache-2.0
// The register of methods. A method is one file in methods/: its options, its network and loss, its
// presets, and one RegisterMethod call that runs before main. Everything else (choices of the key
// `method`, help, presets, MakeMethod, the written config) comes from here, so that a further
// method touches no other file:
//
//   struct MocoOptions : CloneableOptions<MocoOptions> { ... };   // keys "moco.temperature", ...
//   class Moco : public Method { ... };
//   const bool registered = RegisterMethod({.name = "moco", .summary = "...",
//       .make_options = [] { return std::make_unique<MocoOptions>(); },
//       .presets = {{"moco-histology", "...", [](PretrainOptions& o) { ... }}}});
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

class Method;
struct MethodSetup;  // method.h

// The settings of one method.
struct MethodOptions {
  virtual ~MethodOptions() = default;
  // Keys "<prefix>.<key>"; prefix is the method's name. The set points into this object.
  virtual void Bind(core::OptionSet& set, const std::string& prefix) = 0;
  // Rules over several fields; asked of the method in use only. Throws ConfigError.
  virtual void Check(const std::string& /*prefix*/) const {}
  virtual std::unique_ptr<MethodOptions> Clone() const = 0;
  // Networks initialised from the setup's seed. The encoder comes initialised.
  virtual std::unique_ptr<Method> Make(const MethodSetup& setup) const = 0;
};

template <typename Derived>
struct CloneableOptions : MethodOptions {
  std::unique_ptr<MethodOptions> Clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
};

// A published starting point. `apply` sees default options with `method` set.
struct MethodPreset {
  std::string name;
  std::string summary;  // one line, with the source of its numbers
  std::function<void(PretrainOptions&)> apply;
  std::vector<std::string> aliases = {};  // older names, accepted and not listed
};

struct MethodEntry {
  std::string name;     // lower case: the value of `method` and the prefix of its keys
  std::string summary;  // one line for --help
  std::function<std::unique_ptr<MethodOptions>()> make_options;
  std::vector<MethodPreset> presets;  // the first is what `method = <name>` alone starts from
};

// Call before main, from a namespace-scope constant. Returns true. A name that is taken is a
// mistake in the program: std::logic_error.
bool RegisterMethod(MethodEntry entry);

// By name, whatever the order of registration.
const std::vector<MethodEntry>& Methods();

// Throws ConfigError with the names when there is none such.
const MethodEntry& FindMethod(const std::string& name);

}  // namespace eosin::pretrain

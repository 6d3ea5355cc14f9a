{
  "variables": {
    "werror%": "0"
  },
  "targets": [
    {
      "target_name": "node_hax",
      "sources": ["<!@(node -p \"require('./native/sources.json').common.map((f) => 'native/' + f).join(' ')\")"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      # The last: in a worker that is being terminated nothing can be thrown, which would otherwise end the process.
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc!": ["-std=gnu++20", "-std=gnu++17", "-fno-omit-frame-pointer"],
      "cflags_cc": ["-std=c++17", "-fvisibility=hidden", "-fno-exceptions", "-Wall", "-Wextra"],
      "cflags": ["-fPIC", "-O2"],
      "conditions": [
        ["OS in 'linux mac netbsd win'.split()", {
          "sources": ["<!@(node -p \"['haxm', '<(OS)'].flatMap((k) => require('./native/sources.json')[k]).map((f) => 'native/' + f).join(' ')\")"],
        }],
        ["OS=='linux'", {
          "libraries": ["-ldl"],
          "cflags_cc": ["-include", "core/glibc_floor.h"],
          # Without run-time types shared_ptr needs a function of libstdc++ 9, newer than the one that Node needs.
          "cflags_cc!": ["-fno-rtti"],
          # The watcher's thread outlives the worker that started it: without this, the last worker to end would unmap its code.
          "ldflags": ["-Wl,-z,nodelete"],
        }],
        ["werror==1", { "cflags_cc": ["-Werror"] }],
      ],
    },
  ],
}

/**
 * The few names of WebAssembly's JavaScript API that the kernel uses (https://webassembly.github.io/spec/js-api/). TypeScript has them only
 * in its DOM library, which would bring a whole browser along.
 */
declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: "WebAssembly.Module";
  }
  const Module: new (bytes: Uint8Array) => Module;

  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  const Memory: new (size: { readonly initial: number; readonly maximum: number }) => Memory;

  interface Global {
    readonly value: number;
  }

  interface Instance {
    readonly exports: Readonly<Record<string, unknown>>;
  }
  const Instance: new (module: Module, imports: { readonly env: { readonly memory: Memory } }) => Instance;

  function validate(bytes: Uint8Array): boolean;
}

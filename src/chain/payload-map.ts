/** Payloads as a Map of objects: for layouts whose versions have few, or state much about each. */
import { stepBytes } from "../formats/update.js";
import type { Payload, Payloads } from "./chain.js";

export class PayloadMap extends Map<string, Payload> implements Payloads {
  readonly statesTensors = true;

  bytesOf(name: string): number {
    const payload = this.get(name);
    return payload === undefined ? -1 : stepBytes(payload);
  }

  hasSum(name: string): boolean {
    return this.get(name)?.checksum != null;
  }
}

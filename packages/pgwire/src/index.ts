export * from './auth/scram-exchange.ts'
export {
  makeScramVerifier,
  mockVerifier,
  parseScramVerifier,
  SCRAM_DEFAULT_ITERATIONS,
  type ScramVerifier,
} from './auth/scram-verifier.ts'
export * from './codec/backend-decode.ts'
export * from './codec/backend-encode.ts'
export * from './codec/backend-slices.ts'
export { ByteQueue } from './codec/byte-queue.ts'
export * from './codec/error-fields.ts'
export * from './codec/for-each-message.ts'
export * from './codec/frontend-decode.ts'
export * from './codec/frontend-encode.ts'
export * from './codec/frontend-parser.ts'
export * from './codec/message-types.ts'
export { encode, MessageWriter } from './codec/message-writer.ts'
export { MessageReader } from './codec/message-reader.ts'
export * from './codec/startup-packet.ts'
export { createFrontDoor } from './door/front-door.ts'
export * from './door/front-door-types.ts'
export type { OpenSpillFile, SpillFile } from './door/spill.ts'
export * from './errors.ts'

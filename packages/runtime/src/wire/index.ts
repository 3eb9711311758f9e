/** Frames below the messages, for those who try them with broken ones: `@mirabelle/runtime/wire`. */
export { pack, unpack } from './body.ts'
export { sealedFrameOf, unsealed } from './frame.ts'

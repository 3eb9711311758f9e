/** Errors on their way to a peer and back: MirabelleError <-> the `error` message. */
import { errorCatalog, MirabelleError } from '@mirabelle/messages'
import type { ErrorCode, MessageOf } from '@mirabelle/messages'

/** Longest text of an error that is sent, characters. */
const MAX_TEXT = 4_000

/** The `error` message for a failure. Anything but a MirabelleError becomes `internal`, without its stack. */
export function toErrorMessage(error: unknown): MessageOf<'error'> {
  if (error instanceof MirabelleError)
    return {
      type: 'error',
      code: error.code,
      message: error.message.slice(0, MAX_TEXT),
      detail: error.detail,
    }
  const text = error instanceof Error ? error.message : String(error)
  return { type: 'error', code: 'internal', message: text.slice(0, MAX_TEXT), detail: null }
}

/** The error that an `error` message carries. A code that this version does not know becomes `internal`. */
export function fromErrorMessage(message: MessageOf<'error'>): MirabelleError {
  const options = isDetail(message.detail) ? { detail: message.detail } : {}
  if (Object.hasOwn(errorCatalog, message.code))
    return new MirabelleError(message.code as ErrorCode, message.message, options)
  return new MirabelleError('internal', `${message.message} (unknown code ${message.code})`, options)
}

function isDetail(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

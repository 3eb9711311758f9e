/** Answers one request, once. */
import { messageCatalog, MirabelleError } from '@mirabelle/messages'
import type { Message, ReplyOf, RequestType } from '@mirabelle/messages'
import type { Logger } from '../log/logger.ts'
import type { Responder } from '../ports/network.ts'
import { toErrorMessage } from '../wire/wire-error.ts'

/** Makes the responder of a request. A second answer is a mistake of ours: logged and dropped. */
export function makeResponder<K extends RequestType>(
  type: K,
  rid: number,
  log: Logger,
  send: (reply: Message) => void,
): Responder {
  let answered = false
  const once = (reply: Message): void => {
    if (answered) {
      log.error(
        { request: type, rid, reply: reply.type },
        'a request was answered twice; the second answer is dropped',
      )
      return
    }
    answered = true
    send(reply)
  }
  return {
    reply(message: ReplyOf<RequestType>) {
      const expected = messageCatalog[type].reply
      if (message.type !== expected)
        throw new MirabelleError('internal', `${type} is answered with ${expected}, not with ${message.type}`)
      once(message)
    },
    fail(error) {
      if (!(error instanceof MirabelleError))
        log.error({ err: error, request: type }, 'a request failed unexpectedly')
      once(toErrorMessage(error))
    },
  }
}

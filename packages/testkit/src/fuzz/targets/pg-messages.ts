/**
 * What PostgreSQL clients send, in its parts: the parser that cuts messages, and the readers of each message's fields. However the stream is cut
 * the same comes out; a refusal is a PgError; what a reader accepts says the same when it is encoded again.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  encodeBind,
  encodeClose,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  Frontend,
  FrontendParser,
  PgError,
  readBind,
  readClose,
  readCopyFail,
  readDescribe,
  readEmpty,
  readExecute,
  readParse,
  readQuery,
  readSaslInitialResponse,
  readStartupPacket,
  settingsOf,
  type FrontendMessage,
} from '@mirabelle/pgwire'
import { promise, refusalOf, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { chopped, damaged } from '../mutate.ts'
import { drawDialog } from './draw-dialog.ts'

export const pgMessages: FuzzTarget = {
  name: 'pg-messages',
  what: "PostgreSQL's protocol: startup packets and messages of clients, cut and read",
  draw(random) {
    const whole = Buffer.concat(drawDialog(random).messages)
    return chopped(random, random.chance(0.4) ? damaged(random, whole) : whole)
  },
  run(input) {
    const cut = outcomeOf(input)
    const whole = outcomeOf([Buffer.concat(input)])
    promise(
      isDeepStrictEqual(cut, whole),
      () => `cut into ${input.length} chunks the stream says ${cut.at(-1)}, in one ${whole.at(-1)}`,
    )
  },
}

/** Everything that the stream says, message by message; the last entry is its end. */
function outcomeOf(chunks: FuzzInput): string[] {
  const parser = new FrontendParser(1024 * 1024)
  const said: string[] = []
  const refused = refusalOf(() => {
    let starting = true
    for (const chunk of chunks) {
      parser.push(Buffer.from(chunk))
      while (starting) {
        const packet = parser.nextStartup()
        if (packet === undefined) break
        const request = readStartupPacket(packet)
        said.push(request.kind)
        if (request.kind !== 'startup') continue
        said.push(JSON.stringify([...settingsOf(request.parameters)]))
        starting = false
        parser.enter('running')
      }
      if (starting) continue
      for (let message = parser.next(); message !== undefined; message = parser.next())
        said.push(read(message))
    }
  }, PgError)
  said.push(refused === undefined ? `${parser.queuedBytes} bytes left` : `${refused.code} ${refused.message}`)
  return said
}

/** Reads the fields and writes them again. */
function read(message: FrontendMessage): string {
  const { type, bytes } = message
  const same = (again: Buffer): void =>
    promise(
      again.equals(bytes),
      () => `message ${String.fromCharCode(type)} is another one when it is written again`,
    )
  let refused: PgError | undefined
  switch (type) {
    case Frontend.query:
      refused = refusalOf(() => same(encodeQuery(readQuery(message))), PgError)
      break
    case Frontend.parse:
      refused = refusalOf(() => same(encodeParse(readParse(message))), PgError)
      break
    case Frontend.bind:
      refused = refusalOf(() => same(encodeBind(readBind(message))), PgError)
      break
    case Frontend.describe:
      refused = refusalOf(() => same(encodeDescribe(readDescribe(message))), PgError)
      break
    case Frontend.close:
      refused = refusalOf(() => same(encodeClose(readClose(message))), PgError)
      break
    case Frontend.execute:
      // Less than 0 rows means all, as 0 does: not the same bytes.
      refused = refusalOf(() => void encodeExecute(readExecute(message)), PgError)
      break
    case Frontend.copyFail:
      refused = refusalOf(() => same(encodeCopyFail(readCopyFail(message))), PgError)
      break
    case Frontend.password:
      refused = refusalOf(() => void readSaslInitialResponse(message), PgError)
      break
    case Frontend.sync:
    case Frontend.flush:
    case Frontend.copyDone:
    case Frontend.terminate:
      refused = refusalOf(() => readEmpty(message), PgError)
      break
  }
  return `${String.fromCharCode(type)} ${bytes.length} ${refused?.message ?? ''}`
}

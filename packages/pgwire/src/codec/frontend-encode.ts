/** Writes messages as a client sends them: the coordinator talks to the engine in them, tests talk to the door. */
import type { BindFields, ExecuteFields, ParseFields, TargetFields } from './frontend-decode.ts'
import { Frontend, PROTOCOL_MAJOR, STARTUP_CODES } from './message-types.ts'
import { encode } from './message-writer.ts'

export function encodeQuery(text: string): Buffer {
  return encode((writer) => writer.begin(Frontend.query).cstring(text).end())
}

export function encodeParse(fields: Partial<ParseFields> & Pick<ParseFields, 'query'>): Buffer {
  const types = fields.parameterTypes ?? []
  return encode((writer) => {
    writer
      .begin(Frontend.parse)
      .cstring(fields.statement ?? '')
      .cstring(fields.query)
      .int16(types.length)
    for (const type of types) writer.int32(type)
    writer.end()
  })
}

/** Parameters may be given as text, as bytes, or null; formats default to text. */
export function encodeBind(
  fields: Partial<Omit<BindFields, 'parameters'>> & { parameters?: readonly (string | Uint8Array | null)[] },
): Buffer {
  const { portal = '', statement = '', parameterFormats = [], parameters = [], resultFormats = [] } = fields
  return encode((writer) => {
    writer.begin(Frontend.bind).cstring(portal).cstring(statement)
    writer.int16(parameterFormats.length)
    for (const format of parameterFormats) writer.int16(format)
    writer.int16(parameters.length)
    for (const parameter of parameters) writer.lengthAndValue(parameter)
    writer.int16(resultFormats.length)
    for (const format of resultFormats) writer.int16(format)
    writer.end()
  })
}

export function encodeDescribe(target: TargetFields): Buffer {
  return encode((writer) => writer.begin(Frontend.describe).text(target.kind).cstring(target.name).end())
}

export function encodeClose(target: TargetFields): Buffer {
  return encode((writer) => writer.begin(Frontend.close).text(target.kind).cstring(target.name).end())
}

export function encodeExecute(fields: Partial<ExecuteFields> = {}): Buffer {
  return encode((writer) =>
    writer
      .begin(Frontend.execute)
      .cstring(fields.portal ?? '')
      .int32(fields.maxRows ?? 0)
      .end(),
  )
}

const empty = (type: number): Buffer => Buffer.from([type, 0, 0, 0, 4])

/** Messages without a body. They are shared: never change them. */
export const SYNC: Buffer = empty(Frontend.sync)
export const FLUSH: Buffer = empty(Frontend.flush)
export const TERMINATE: Buffer = empty(Frontend.terminate)

export function encodeCopyFail(reason: string): Buffer {
  return encode((writer) => writer.begin(Frontend.copyFail).cstring(reason).end())
}

/** A password or a SASL response: both are the same message type with bytes in it. */
export function encodePassword(body: Uint8Array): Buffer {
  return encode((writer) => writer.begin(Frontend.password).raw(body).end())
}

export function encodeSaslInitialResponse(mechanism: string, response: Uint8Array | null): Buffer {
  return encode((writer) => writer.begin(Frontend.password).cstring(mechanism).lengthAndValue(response).end())
}

/** A startup packet for protocol 3.`minor`. */
export function encodeStartup(parameters: Readonly<Record<string, string>>, minor = 0): Buffer {
  return encode((writer) => {
    writer.beginUntyped().int32((PROTOCOL_MAJOR << 16) | minor)
    for (const [name, value] of Object.entries(parameters)) writer.cstring(name).cstring(value)
    writer.int8(0).end()
  })
}

export function encodeSslRequest(): Buffer {
  return encode((writer) => writer.beginUntyped().int32(STARTUP_CODES.ssl).end())
}

export function encodeGssencRequest(): Buffer {
  return encode((writer) => writer.beginUntyped().int32(STARTUP_CODES.gssenc).end())
}

export function encodeCancelRequest(pid: number, secret: Uint8Array): Buffer {
  return encode((writer) => writer.beginUntyped().int32(STARTUP_CODES.cancel).int32(pid).raw(secret).end())
}

/** What is told of the answer to a request that wrote WAL, beside the WAL itself: whoever lost the answer in a failover gets this one. Pure. */

/** Largest answer that travels with the WAL, in bytes. */
const MAX_BYTES = 2048
/** What is left of a long sentence of an error. */
const MAX_SENTENCE_BYTES = 1024
const ERROR_RESPONSE = 0x45
const SENTENCE = 0x4d
/** Severity, severity that is not translated, SQLSTATE, sentence. */
const KEPT_FIELDS = 'SVCM'
/** ReadyForQuery, the last message of each answer. */
const READY_BYTES = 6

/**
 * The whole answer when it is small. A long one that failed, in short: a COMMIT whose error was left out would seem to have taken effect. Undefined for a long one that went
 * well: that it took effect is all that is told of it.
 */
export function toldOutput(output: Uint8Array): Uint8Array | undefined {
  if (output.length <= MAX_BYTES) return output
  const view = Buffer.from(output.buffer, output.byteOffset, output.byteLength)
  for (let at = 0; at + 5 <= view.length; at += 1 + view.readUInt32BE(at + 1)) {
    if (view[at] !== ERROR_RESPONSE) continue
    const fields = inShort(view.subarray(at + 5, at + 1 + view.readUInt32BE(at + 1)))
    const head = Buffer.from([ERROR_RESPONSE, 0, 0, 0, 0])
    head.writeUInt32BE(fields.length + 4, 1)
    return Buffer.concat([head, fields, view.subarray(-READY_BYTES)])
  }
  return undefined
}

/** The fields of an error that matter most. */
function inShort(body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const end = body.indexOf(0, at)
    if (end < 0) break
    const type = body[at] as number
    if (KEPT_FIELDS.includes(String.fromCharCode(type)))
      parts.push(type === SENTENCE ? cut(body.subarray(at, end)) : body.subarray(at, end), Buffer.of(0))
    at = end + 1
  }
  return Buffer.concat([...parts, Buffer.of(0)])
}

/** Not within a character of UTF-8. */
function cut(text: Buffer): Buffer {
  if (text.length <= MAX_SENTENCE_BYTES) return text
  let end = MAX_SENTENCE_BYTES
  while (((text[end] as number) & 0xc0) === 0x80) end--
  return text.subarray(0, end)
}

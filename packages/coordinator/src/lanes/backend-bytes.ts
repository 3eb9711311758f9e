/** The little that lanes read of backend messages. */

const PARSE_COMPLETE = 0x31
const CLOSE_COMPLETE = 0x33
const ERROR_RESPONSE = 0x45

/** Cuts the CloseComplete and ParseComplete of a statement that was prepared on the way; says whether it is there now. */
export function withoutPreparation(output: Uint8Array): { output: Uint8Array; prepared: boolean } {
  let at = 0
  if (output[at] === CLOSE_COMPLETE) at += 5
  if (output[at] === PARSE_COMPLETE) return { output: output.subarray(at + 5), prepared: true }
  return { output: output.subarray(at), prepared: false }
}

/** True when the first message is an ErrorResponse: cheap. */
export function startsWithError(output: Uint8Array): boolean {
  return output[0] === ERROR_RESPONSE
}

/** SQLSTATE of the first ErrorResponse, or undefined. */
export function firstErrorCode(output: Uint8Array): string | undefined {
  const view = Buffer.from(output.buffer, output.byteOffset, output.byteLength)
  for (let at = 0; at + 5 <= view.length; at += 1 + view.readUInt32BE(at + 1)) {
    if (view[at] === ERROR_RESPONSE) return errorField(view, at, 0x43) ?? 'XX000'
  }
  return undefined
}

function errorField(view: Buffer, at: number, wanted: number): string | undefined {
  const end = at + 1 + view.readUInt32BE(at + 1)
  let p = at + 5
  while (p < end && view[p] !== 0) {
    const stop = view.indexOf(0, p + 1)
    if (stop < 0 || stop >= end) return undefined
    if (view[p] === wanted) return view.toString('utf8', p + 1, stop)
    p = stop + 1
  }
  return undefined
}

/** The tag of the last CommandComplete, or undefined. */
export function lastCommandTag(output: Uint8Array): string | undefined {
  const view = Buffer.from(output.buffer, output.byteOffset, output.byteLength)
  let tag: string | undefined
  for (let at = 0; at + 5 <= view.length; at += 1 + view.readUInt32BE(at + 1)) {
    if (view[at] === 0x43) tag = view.toString('utf8', at + 5, at + view.readUInt32BE(at + 1))
  }
  return tag
}

/** The whole first ErrorResponse message, or undefined. */
export function firstErrorMessage(output: Uint8Array): Uint8Array | undefined {
  const view = Buffer.from(output.buffer, output.byteOffset, output.byteLength)
  for (let at = 0; at + 5 <= view.length; at += 1 + view.readUInt32BE(at + 1)) {
    if (view[at] === ERROR_RESPONSE) return output.subarray(at, at + 1 + view.readUInt32BE(at + 1))
  }
  return undefined
}

/** First column of each DataRow as text. */
export function firstColumn(output: Uint8Array): string[] {
  const view = Buffer.from(output.buffer, output.byteOffset, output.byteLength)
  const rows: string[] = []
  for (let at = 0; at + 5 <= view.length; at += 1 + view.readUInt32BE(at + 1)) {
    if (view[at] !== 0x44) continue
    const length = view.readInt32BE(at + 7)
    if (length >= 0) rows.push(view.toString('utf8', at + 11, at + 11 + length))
  }
  return rows
}

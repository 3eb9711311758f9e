/** The few frontend messages that the coordinator makes by itself. */

/** A Query message. */
export function queryMessage(sql: string): Uint8Array {
  const length = Buffer.byteLength(sql) + 5
  const bytes = Buffer.allocUnsafe(length + 1)
  bytes[0] = 0x51
  bytes.writeUInt32BE(length, 1)
  bytes.write(sql, 5)
  bytes[length] = 0
  return bytes
}

/** A Close message for a prepared statement. */
export function closeStatementMessage(name: string): Uint8Array {
  const length = Buffer.byteLength(name) + 6
  const bytes = Buffer.allocUnsafe(length + 1)
  bytes[0] = 0x43
  bytes.writeUInt32BE(length, 1)
  bytes[5] = 0x53
  bytes.write(name, 6)
  bytes[length] = 0
  return bytes
}

/** The type bytes of the PostgreSQL protocol, as numbers, and the codes that take the place of a protocol version. */

const code = (character: string): number => character.charCodeAt(0)

/** Messages that a client sends. */
export const Frontend = {
  bind: code('B'),
  close: code('C'),
  copyData: code('d'),
  copyDone: code('c'),
  copyFail: code('f'),
  describe: code('D'),
  execute: code('E'),
  flush: code('H'),
  functionCall: code('F'),
  parse: code('P'),
  /** PasswordMessage, SASLInitialResponse and SASLResponse share it. */
  password: code('p'),
  query: code('Q'),
  sync: code('S'),
  terminate: code('X'),
} as const

/** Messages that a server sends. */
export const Backend = {
  authentication: code('R'),
  backendKeyData: code('K'),
  bindComplete: code('2'),
  closeComplete: code('3'),
  commandComplete: code('C'),
  copyBothResponse: code('W'),
  copyData: code('d'),
  copyDone: code('c'),
  copyInResponse: code('G'),
  copyOutResponse: code('H'),
  dataRow: code('D'),
  emptyQueryResponse: code('I'),
  errorResponse: code('E'),
  functionCallResponse: code('V'),
  negotiateProtocolVersion: code('v'),
  noData: code('n'),
  noticeResponse: code('N'),
  notificationResponse: code('A'),
  parameterDescription: code('t'),
  parameterStatus: code('S'),
  parseComplete: code('1'),
  portalSuspended: code('s'),
  readyForQuery: code('Z'),
  rowDescription: code('T'),
} as const

/** What ReadyForQuery says about the transaction: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E'

/** Codes that stand where a startup packet has its protocol version. */
export const STARTUP_CODES = { cancel: 80877102, ssl: 80877103, gssenc: 80877104 } as const

export const PROTOCOL_MAJOR = 3
/** The newest minor version spoken here: 3.2, whose cancel keys are longer. 3.1 was never used by anyone. */
export const PROTOCOL_NEWEST_MINOR = 2

/** Reads what a client sends before anything else: a startup packet, a request for encryption, or a cancel request. */
import { pgwireError, protocolViolation } from '../errors.ts'
import { PROTOCOL_MAJOR, PROTOCOL_NEWEST_MINOR, STARTUP_CODES } from './message-types.ts'
import { MessageReader } from './message-reader.ts'

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | StartupRequest

export interface StartupRequest {
  readonly kind: 'startup'
  /** The minor version that is spoken from here on. */
  readonly minor: number
  /** True if the client must be told so: it asked for more than is known here. */
  readonly negotiate: boolean
  /** `_pq_.` options that are not known here; none is known so far. */
  readonly unknownOptions: readonly string[]
  /** All other parameters, as sent: user, database, options, settings. A name that comes twice has its last value. */
  readonly parameters: ReadonlyMap<string, string>
}

/**
 * @param packet a startup packet without its length field
 * @throws FATAL 08P01 for a malformed packet, FATAL 0A000 for a protocol other than 3.x
 */
export function readStartupPacket(packet: Buffer): StartupPacket {
  const reader = new MessageReader(packet, 0, packet.length, 'startup')
  const code = reader.int32()
  if (code === STARTUP_CODES.ssl || code === STARTUP_CODES.gssenc) {
    reader.finish()
    return { kind: code === STARTUP_CODES.ssl ? 'ssl' : 'gssenc' }
  }
  if (code === STARTUP_CODES.cancel) {
    const pid = reader.int32()
    if (reader.remaining < 4 || reader.remaining > 256) {
      throw protocolViolation(
        `invalid length of cancel key: ${reader.remaining} bytes, 4 to 256 are possible`,
      )
    }
    return { kind: 'cancel', pid, secret: reader.bytes(reader.remaining) }
  }
  const major = code >>> 16
  const minor = code & 0xffff
  if (major !== PROTOCOL_MAJOR) {
    throw pgwireError(
      'unsupportedProtocol',
      `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.${PROTOCOL_NEWEST_MINOR}`,
    )
  }
  return readParameters(reader, minor)
}

function readParameters(reader: MessageReader, minor: number): StartupRequest {
  const parameters = new Map<string, string>()
  const unknownOptions: string[] = []
  for (;;) {
    if (reader.remaining === 0)
      throw protocolViolation('invalid startup packet layout: expected terminator as last byte')
    const name = reader.cstring()
    if (name === '') break
    const value = reader.cstring()
    if (name.startsWith('_pq_.')) unknownOptions.push(name)
    else parameters.set(name, value)
  }
  if (reader.remaining !== 0) {
    throw protocolViolation('invalid startup packet layout: expected terminator as last byte')
  }
  return {
    kind: 'startup',
    minor: Math.min(minor, PROTOCOL_NEWEST_MINOR),
    negotiate: minor > PROTOCOL_NEWEST_MINOR || unknownOptions.length > 0,
    unknownOptions,
    parameters,
  }
}

const NOT_SETTINGS: ReadonlySet<string> = new Set(['user', 'database', 'options', 'replication'])

/**
 * The settings that a client wants for its session: first those of `options` (`-c name=value`, `--name=value`), then the
 * parameters that name a setting, which win.
 *
 * @throws FATAL 08P01 for an option of another form
 */
export function settingsOf(parameters: ReadonlyMap<string, string>): Map<string, string> {
  const settings = new Map<string, string>()
  const words = splitOptions(parameters.get('options') ?? '')
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!
    let assignment: string | undefined
    if (word === '-c') assignment = words[++index]
    else if (word.startsWith('-c')) assignment = word.slice(2)
    else if (word.startsWith('--')) assignment = word.slice(2)
    const equals = assignment?.indexOf('=') ?? -1
    if (assignment === undefined || equals < 1) {
      throw protocolViolation(`invalid command-line argument for server process: ${word}`, {
        hint: 'Options have the form -c name=value.',
      })
    }
    settings.set(assignment.slice(0, equals).replaceAll('-', '_'), assignment.slice(equals + 1))
  }
  for (const [name, value] of parameters) if (!NOT_SETTINGS.has(name)) settings.set(name, value)
  return settings
}

/** Splits at white space; a backslash takes the next character as it is. */
function splitOptions(options: string): string[] {
  const words: string[] = []
  for (const [word] of options.matchAll(/(?:\\[\s\S]|[^\s\\])+/g))
    words.push(word.replace(/\\([\s\S])/g, '$1'))
  return words
}

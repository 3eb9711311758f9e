/** Texts of settings as clients and administrators give them: refused with a RangeError, or a value that is written and read back the same. */
import {
  formatSetting,
  parseSetting,
  settingsCatalog,
  type SettingName,
  type SettingValue,
} from '@mirabelle/messages'
import { edgeNumber, text } from '../draw.ts'
import { promise, refusalOf, type FuzzTarget } from '../fuzz-target.ts'

const NAMES = Object.keys(settingsCatalog) as SettingName[]
const UNITS = ['', 'ms', 's', 'min', 'h', 'd', 'B', 'kB', 'MB', 'GB', 'TB', 'KB', 'x', ' s ']

export const settings: FuzzTarget = {
  name: 'settings',
  what: 'values of settings',
  draw(random) {
    const number = random.chance(0.5) ? edgeNumber(random) : random.next() * 10 ** random.below(9)
    const value = random.chance(0.7) ? `${number}${random.pick(UNITS)}` : text(random)
    return [Buffer.from(random.pick(NAMES)), Buffer.from(value)]
  },
  run([nameBytes = Buffer.alloc(0), valueBytes = Buffer.alloc(0)]) {
    const name = Buffer.from(nameBytes).toString() as SettingName
    if (!NAMES.includes(name)) return
    let value: SettingValue | undefined
    const refused = refusalOf(() => {
      value = parseSetting(name, Buffer.from(valueBytes).toString())
    }, RangeError)
    if (refused !== undefined || value === undefined) return
    const written = formatSetting(name, value)
    promise(
      parseSetting(name, written) === value,
      () => `${name} = ${String(value)} is written as ${written}`,
    )
  },
}

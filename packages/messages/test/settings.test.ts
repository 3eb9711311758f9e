import t from 'tap'
import {
  areNewer,
  defaultSettings,
  formatSetting,
  parseSetting,
  settingsCatalog,
  settingsFrom,
  stamped,
  withSettingsOf,
} from '../src/index.ts'
import type { SettingEntry, SettingName } from '../src/index.ts'

const entries = Object.entries(settingsCatalog) as [SettingName, SettingEntry][]

t.test('every default is inside its own range and described', async (t) => {
  for (const [name, entry] of entries) {
    t.equal(defaultSettings[name], entry.default)
    t.equal(
      parseSetting(name, formatSetting(name, entry.default)),
      entry.default,
      `${name} reads its own default`,
    )
    t.ok(entry.doc.endsWith('.'), `${name} is described`)
    t.equal(
      entry.unit !== undefined,
      entry.kind === 'ms' || entry.kind === 'bytes',
      `${name}: a number alone has a unit`,
    )
    if (typeof entry.default === 'number')
      t.ok((entry.min ?? 0) <= entry.default && entry.default <= (entry.max ?? 0))
  }
})

t.test('times and sizes are read with their units', async (t) => {
  const read: [SettingName, string, unknown][] = [
    ['gp_fts_probe_interval', '5s', 5_000],
    ['gp_fts_probe_interval', '60', 60_000],
    ['checkpoint_timeout', '300', 300_000],
    ['wal_sender_timeout', '2000', 2_000],
    ['statement_timeout', '250', 250],
    ['max_wal_size', '1024', 2 ** 30],
    ['gather_limit', '2048', 2 ** 21],
    ['gp_fts_probe_interval', '250ms', 250],
    ['gp_fts_probe_interval', ' 1.5 min ', 90_000],
    ['checkpoint_timeout', '1h', 3_600_000],
    ['checkpoint_timeout', '1d', 86_400_000],
    ['max_wal_size', '1GB', 2 ** 30],
    ['max_wal_size', '64MB', 2 ** 26],
    ['max_wal_size', '16384kB', 2 ** 24],
    ['max_slot_wal_keep_size', '1TB', 2 ** 40],
    ['autovacuum', 'off', false],
    ['autovacuum', 'ON', true],
    ['mirrorless_policy', 'refuse', 'refuse'],
    ['role_change_command', ' /usr/local/bin/vip --mode=Bond ', '/usr/local/bin/vip --mode=Bond'],
    ['gp_fts_probe_retries', '0', 0],
  ]
  for (const [name, text, value] of read) t.equal(parseSetting(name, text), value, `${name} = ${text}`)
})

t.test('what is out of range or has a wrong unit is refused with name, value and range', async (t) => {
  const bad: [SettingName, string][] = [
    ['gp_fts_probe_interval', '99ms'],
    ['gp_fts_probe_interval', '7200'],
    ['gp_fts_probe_interval', '2h'],
    ['gp_fts_probe_interval', '5GB'],
    ['gp_fts_probe_interval', '-5s'],
    ['gp_fts_probe_interval', ''],
    ['gp_fts_probe_interval', 's'],
    ['gp_fts_probe_interval', '5 toString'],
    ['gp_fts_probe_retries', '5s'],
    ['max_wal_size', '1min'],
    ['autovacuum', 'maybe'],
    ['mirrorless_policy', 'panic'],
    ['role_change_command', 'two\nlines'],
    ['role_change_command', 'x'.repeat(1_025)],
  ]
  for (const [name, text] of bad)
    t.throws(
      () => parseSetting(name, text),
      { name: 'RangeError', message: new RegExp(`"${name}": "`) },
      `${name} = ${text}`,
    )
})

t.test('texts of a catalog overlay the defaults; names of another release are passed over', async (t) => {
  const settings = settingsFrom({ gp_fts_probe_interval: '2s', from_the_future: 'x', toString: 'y' })
  t.equal(settings.gp_fts_probe_interval, 2_000)
  t.equal(settings.wal_sender_timeout, defaultSettings.wal_sender_timeout)
  t.same(Object.keys(settings), Object.keys(defaultSettings))
})

t.test('a value that this version does not take is told and leaves the default', async (t) => {
  const refused: string[] = []
  const settings = settingsFrom({ gp_fts_probe_interval: '1 week', lock_timeout: '5s' }, (error) =>
    refused.push(error.message),
  )
  t.equal(settings.gp_fts_probe_interval, defaultSettings.gp_fts_probe_interval)
  t.equal(settings.lock_timeout, 5_000)
  t.same(refused, ['invalid value for "gp_fts_probe_interval": "1 week" (from 100ms to 1h)'])
})

t.test('of two sets of settings the one of the later state of the catalog is the newer one', async (t) => {
  const plain = { lock_timeout: '1s' }
  const first = stamped(plain, 1, 7)
  t.notOk(areNewer(first, first), 'a set is not newer than itself')
  t.ok(areNewer(first, plain), 'a start that does not know the catalog never wins')
  t.notOk(areNewer(plain, plain))
  t.ok(areNewer(stamped(plain, 1, 10), first), 'counts are numbers, not texts')
  t.ok(areNewer(stamped(plain, 2, 1), first), 'an activated standby may have missed changes: its word counts')
  t.notOk(areNewer(stamped(plain, 1, 6), first))
})

t.test('settings move between assignments without what else the texts hold', async (t) => {
  const held = { lock_timeout: '1s', 'mirabelle.topology': 'old' }
  const given = stamped({ gather_limit: '1MB', 'mirabelle.topology': 'other' }, 1, 2)
  t.same(withSettingsOf(given, held), stamped({ gather_limit: '1MB', 'mirabelle.topology': 'old' }, 1, 2))
})

import { describe, expect, test } from 'vitest'
import { debianMirror, parseDeb822, parsePrintUris, parseSourcesList, templateMirror } from './apt-sources.js'

describe('The Debian mirror is read from the machine\'s own apt sources', () => {
  test('in the one-line style, with options, comments and other archives around it', () => {
    const sources = parseSourcesList([
      '# deb http://commented.example/debian bookworm main',
      'deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://other.example/apt stable-tool main',
      'deb-src http://sources.example/debian bookworm main',
      'deb http://security.example/debian-security bookworm-security main # a security archive has no kernels of other suites',
      'deb [ signed-by=/k.gpg ] https://mirror.example/debian/ bookworm main contrib',
    ].join('\n'))
    expect(sources).toHaveLength(4)
    expect(debianMirror(sources)).toBe('https://mirror.example/debian')
  })

  test('in the deb822 style, with folded fields, an inline key and a stanza that is switched off', () => {
    const sources = parseDeb822([
      'Types: deb', 'URIs: http://off.example/debian', 'Suites: bookworm', 'Components: main', 'Enabled: no', '',
      'Types: deb', '# a comment inside', 'URIs:', '  http://mirror.example/debian', 'Suites: trixie trixie-updates', 'Components: main', 'Signed-By:',
      ' -----BEGIN PGP PUBLIC KEY BLOCK-----', ' .', ' mQINBGY', '',
    ].join('\r\n'))
    expect(sources).toEqual([{ types: ['deb'], uris: ['http://mirror.example/debian'], suites: ['trixie', 'trixie-updates'], components: ['main'] }])
    expect(debianMirror(sources)).toBe('http://mirror.example/debian')
  })

  test('and a machine that names none has none: another distribution, a medium, sources only', () => {
    expect(debianMirror(parseSourcesList('deb http://archive.example/ubuntu noble main universe'))).toBeUndefined()
    expect(debianMirror(parseSourcesList('deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/mirror bookworm main'))).toBeUndefined()
    expect(debianMirror(parseSourcesList('deb http://mirror.example/debian bookworm contrib'))).toBeUndefined()
    expect(debianMirror([])).toBeUndefined()
  })

  test('then python-apt\'s template for Debian names one', () => {
    expect(templateMirror('ChangelogURI: x\n\nSuite: sid\nBaseURI: https://mirror.example/debian/\nRepositoryType: deb\n')).toBe('https://mirror.example/debian')
    expect(templateMirror('BaseURI: ftp://mirror.example/debian')).toBeUndefined()
  })
})

test('Packages and versions are read from what apt prints, epochs and plus signs included, and nothing else', () => {
  const printed = [
    '\'http://mirror.example/debian/pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb\' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 MD5Sum:ab',
    '\'http://mirror.example/x/linux-headers-6.12.95%2bdeb12-common_6.12.95-1%7ebpo12%2b1_all.deb\' linux-headers-6.12.95+deb12-common_6.12.95-1~bpo12+1_all.deb 11140816 ',
    'W: something', '',
  ].join('\n')
  expect(parsePrintUris(printed)).toEqual([
    { name: 'zlib1g', version: '1:1.2.13.dfsg-1' },
    { name: 'linux-headers-6.12.95+deb12-common', version: '6.12.95-1~bpo12+1' },
  ])
})

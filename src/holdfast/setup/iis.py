"""What to check on Windows, where IIS staples by itself: a text to read, and a PowerShell script.

Laws: nothing is run from here; the script changes nothing without being told by whom it may be
undone: it keeps what was before, shows with -WhatIf, and takes back with -Undo. Facts: Microsoft,
"OCSP stapling" in the support pages of Windows Server 2012 (EnableOcspStaplingForSni).
"""

from __future__ import annotations

REGISTRY = r"HKLM:\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL"
VALUE = "EnableOcspStaplingForSni"

_TEXT = r"""IIS staples by itself: IIS Manager has no setting for it, and holdfast changes nothing
here. What decides is the version of Windows, the kind of binding, and the way to the responder.

1. The version of Windows
   Windows Server 2008 and newer: stapling is on by default.
   Windows Server 2003 and older: not supported; put `holdfast proxy` in front, or upgrade.

2. The kind of each binding (IIS Manager, Sites, Bindings, https)
   plain (by address and port)                    on
   "Require Server Name Indication"               OFF, until @VALUE@ is set
   "Use Centralized Certificate Store"            OFF, until @VALUE@ is set

   The value, a DWORD that is not 0, stands under
     HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL
   It is off because Windows' stapling was made for hundreds of certificates: on a server with
   thousands in a Centralized Certificate Store watch memory and handshake times after setting it.

3. The certificate
   It must name an OCSP responder, or there is nothing to staple:
     certutil -dump site.cer          look for "Authority Info Access", access method "On-line
                                      Certificate Status Protocol"
   Its issuers must be in the store "Intermediate Certification Authorities" of the computer.

4. The way out
   Windows asks the responder by HTTP, mostly at port 80, from the server itself. Outbound TCP must
   be open to it in Windows' firewall and in the network's. Behind a proxy, the machine's proxy
   counts, not the user's:
     netsh winhttp show proxy

5. Ask the responder by hand, as Windows does, past its cache
     certutil -urlcache ocsp delete
     certutil -verify -urlfetch site.cer
   "Verified "OCSP"" is well; "Failed "OCSP"" with a time-out is a firewall, with
   "could not be resolved" is DNS, with "forbidden" is a proxy.

6. See what clients see, from any machine
     holdfast check www.example.org
     openssl s_client -connect www.example.org:443 -servername www.example.org -status
   The first handshake after a start may come without a staple: Windows fetches it then. Ask twice.
   Nothing after some minutes: restart the server, which is when SCHANNEL surely reads its values.

The script below reads the state, sets the value and adds the firewall rule. Save it as
ocsp-stapling.ps1 and run it in an elevated PowerShell:

   .\ocsp-stapling.ps1                                    only shows the state
   .\ocsp-stapling.ps1 -Enable -WhatIf                    shows what would be changed
   .\ocsp-stapling.ps1 -Enable -Responder ocsp.example.org
   .\ocsp-stapling.ps1 -Undo                              puts back what was before

---- ocsp-stapling.ps1 ----
@SCRIPT@"""

_SCRIPT = r"""#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Show')]
param(
    # Set the registry value and add the firewall rule.
    [Parameter(ParameterSetName = 'Enable', Mandatory = $true)]
    [switch] $Enable,

    # Hosts of the OCSP responders; default: those that the certificates in use name.
    [Parameter(ParameterSetName = 'Enable')]
    [string[]] $Responder = @(),

    # Put back what was there before -Enable.
    [Parameter(ParameterSetName = 'Undo', Mandatory = $true)]
    [switch] $Undo
)

Set-StrictMode -Version 1
$ErrorActionPreference = 'Stop'

$Key = '@REGISTRY@'
$Value = '@VALUE@'
$Rule = 'holdfast-ocsp-out'
$Kept = Join-Path $env:ProgramData 'holdfast\ocsp-stapling.json'

function Read-Value {
    $item = Get-ItemProperty -Path $Key -Name $Value -ErrorAction SilentlyContinue
    if ($null -eq $item) { return $null }
    return $item.$Value
}

function Read-Responders($Certificate) {
    $aia = $Certificate.Extensions | Where-Object { $_.Oid.Value -eq '1.3.6.1.5.5.7.1.1' }
    if ($null -eq $aia) { return @() }
    $urls = @()
    $method = ''
    foreach ($line in $aia.Format($true) -split "`r?`n") {
        if ($line -match '\((1\.3\.6\.1\.5\.5\.7\.48\.\d+)\)') { $method = $Matches[1] }
        if ($method -eq '1.3.6.1.5.5.7.48.1' -and $line -match '(http://\S+)') {
            $urls += $Matches[1]
        }
    }
    return $urls
}

function Show-State {
    $os = Get-CimInstance -ClassName Win32_OperatingSystem
    '{0} ({1})' -f $os.Caption, $os.Version
    if ([Version] $os.Version -lt [Version] '6.0') {
        Write-Warning 'This version of Windows does not staple: Windows Server 2008 is the first.'
    }
    $set = Read-Value
    '{0} = {1}' -f $Value, $(if ($null -eq $set) { 'not set' } else { $set })
    $found = @()
    if (Get-Module -ListAvailable -Name WebAdministration) {
        Import-Module WebAdministration
        foreach ($binding in Get-WebBinding -Protocol https) {
            # sslFlags: 1 is Server Name Indication, 2 the Centralized Certificate Store
            $flags = [int] $binding.sslFlags
            $on = (($flags -band 3) -eq 0) -or ($null -ne $set -and $set -ne 0)
            '{0}  {1}  stapling {2}' -f $binding.bindingInformation,
                $(switch ($flags -band 3) {
                    0 { 'plain' } 1 { 'SNI' } 2 { 'central store' } 3 { 'SNI, central store' }
                }),
                $(if ($on) { 'on' } else { 'OFF' })
            $hash = $binding.certificateHash
            if ($hash) {
                $store = if ($binding.certificateStoreName) { $binding.certificateStoreName }
                         else { 'My' }
                $path = "Cert:\LocalMachine\$store\$hash"
                if (Test-Path $path) {
                    $urls = @(Read-Responders (Get-Item $path))
                    if ($urls.Count -eq 0) {
                        Write-Warning '  its certificate names no OCSP responder: nothing to staple'
                    }
                    $found += $urls
                }
            }
        }
    } else {
        Write-Warning 'The module WebAdministration is not here: bindings are not shown.'
    }
    foreach ($url in $found | Sort-Object -Unique) {
        $uri = [Uri] $url
        $open = Test-NetConnection -ComputerName $uri.Host -Port $uri.Port `
            -InformationLevel Quiet -WarningAction SilentlyContinue
        '{0}  {1}' -f $url, $(if ($open) { 'reachable' } else { 'NOT REACHABLE: firewall or DNS' })
    }
    $rule = Get-NetFirewallRule -Name $Rule -ErrorAction SilentlyContinue
    'firewall rule {0}: {1}' -f $Rule, $(if ($rule) { 'there' } else { 'not there' })
    $script:Found = @($found | Sort-Object -Unique)
}

$script:Found = @()
Show-State

if ($Enable) {
    if (-not (Test-Path $Kept)) {
        $before = @{
            value = Read-Value
            rule = [bool] (Get-NetFirewallRule -Name $Rule -ErrorAction SilentlyContinue)
        }
        if ($PSCmdlet.ShouldProcess($Kept, 'Keep what was before')) {
            New-Item -ItemType Directory -Force -Path (Split-Path $Kept) | Out-Null
            $before | ConvertTo-Json | Set-Content -Path $Kept -Encoding UTF8
        }
    }
    if ((Read-Value) -ne 1 -and $PSCmdlet.ShouldProcess("$Key\$Value", 'Set to 1')) {
        New-ItemProperty -Path $Key -Name $Value -PropertyType DWord -Value 1 -Force | Out-Null
    }
    $ports = @(80)
    $hosts = $Responder
    foreach ($url in $script:Found) {
        $ports += ([Uri] $url).Port
        if ($Responder.Count -eq 0) { $hosts += ([Uri] $url).Host }
    }
    $addresses = @($hosts | Sort-Object -Unique | ForEach-Object {
        try { [Net.Dns]::GetHostAddresses($_) | ForEach-Object { $_.IPAddressToString } }
        catch { Write-Warning "$_ cannot be resolved: is DNS open?" }
    })
    $ports = @($ports | Sort-Object -Unique)
    $rule = Get-NetFirewallRule -Name $Rule -ErrorAction SilentlyContinue
    if ($null -eq $rule -and $PSCmdlet.ShouldProcess($Rule, "Allow outbound TCP to $ports")) {
        # Responders stand behind addresses that change: with none resolved the port alone counts.
        $more = @{}
        if ($addresses.Count -gt 0) { $more['RemoteAddress'] = $addresses }
        New-NetFirewallRule -Name $Rule -DisplayName 'OCSP responders (stapling)' `
            -Direction Outbound -Action Allow -Protocol TCP -RemotePort $ports @more | Out-Null
    }
    'Now: certutil -urlcache ocsp delete, then two handshakes; none stapled: restart the server.'
}

if ($Undo) {
    if (-not (Test-Path $Kept)) {
        'Nothing to undo: -Enable has not been run here.'
        return
    }
    $before = Get-Content -Path $Kept -Raw | ConvertFrom-Json
    if ($PSCmdlet.ShouldProcess("$Key\$Value", 'Put back')) {
        if ($null -eq $before.value) {
            Remove-ItemProperty -Path $Key -Name $Value -ErrorAction SilentlyContinue
        } else {
            Set-ItemProperty -Path $Key -Name $Value -Value $before.value -Type DWord
        }
    }
    if (-not $before.rule -and $PSCmdlet.ShouldProcess($Rule, 'Remove the firewall rule')) {
        Remove-NetFirewallRule -Name $Rule -ErrorAction SilentlyContinue
    }
    if ($PSCmdlet.ShouldProcess($Kept, 'Forget what was before')) {
        Remove-Item -Path $Kept
    }
}
"""


def iis_script() -> str:
    """The PowerShell script alone."""
    return _SCRIPT.replace("@REGISTRY@", REGISTRY).replace("@VALUE@", VALUE)


def iis_text() -> str:
    """What to check, and the script."""
    return _TEXT.replace("@VALUE@", VALUE).replace("@SCRIPT@", iis_script())

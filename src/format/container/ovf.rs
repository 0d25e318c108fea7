//! The OVF descriptor of a machine with one disk (DMTF DSP0243, version 1.1; the names are those of CIM's
//! resource allocation settings).

use std::fmt::Write as _;

/// What the descriptor says.
pub(super) struct Ovf {
    /// The machine's name, and what the files are called by.
    pub(super) name: String,
    /// Virtual size in bytes.
    pub(super) capacity: u64,
    /// Bytes of it that hold data, where that is known; the attribute is optional.
    pub(super) populated: Option<u64>,
    /// Whether the disk starts by UEFI.
    pub(super) efi: bool,
}

/// The digits of the longest length: the text is as long whatever the length of the disk's file, which is known last.
const LONGEST: u64 = u64::MAX;

impl Ovf {
    /// The text for a disk whose file has `size` bytes.
    pub(super) fn text(&self, size: u64) -> String {
        let mut text = self.envelope(size);
        let len = self.envelope(LONGEST).len();
        // White space may follow the root element (XML 1.0, production 27).
        text.extend(std::iter::repeat_n('\n', len.saturating_sub(text.len())));
        text
    }

    /// The file that holds the disk.
    pub(super) fn disk_name(&self) -> String {
        format!("{}-disk1.vmdk", self.name)
    }

    fn envelope(&self, size: u64) -> String {
        let Self { name, capacity, populated, efi } = self;
        let disk = self.disk_name();
        let populated = populated.map(|bytes| format!(r#" ovf:populatedSize="{bytes}""#)).unwrap_or_default();
        let firmware = if *efi { "efi" } else { "bios" };
        // vSphere takes disks of more than 2 TB from hardware version 10 on. Windows brings a driver for LSI's SAS controller, and
        // Linux too; operating system 102 is any of 64 bits.
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href="{disk}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>The disk of the machine</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"{populated}/>
  </DiskSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A machine with one disk</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="102" vmw:osType="otherGuest64">
      <Info>The operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
{items}      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#,
            items = items()
        )
    }
}

/// Processors, memory, a controller and the disk on it. A section's elements stand in the order of the alphabet, as the
/// schema demands.
fn items() -> String {
    let rows: [&[(&str, &str)]; 4] = [
        &[
            ("ElementName", "2 virtual CPUs"),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", "2"),
        ],
        &[
            ("AllocationUnits", "byte * 2^20"),
            ("ElementName", "4096 MB of memory"),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", "4096"),
        ],
        &[
            ("Address", "0"),
            ("ElementName", "SCSI controller 0"),
            ("InstanceID", "3"),
            ("ResourceSubType", "lsilogicsas"),
            ("ResourceType", "6"),
        ],
        &[
            ("AddressOnParent", "0"),
            ("ElementName", "Hard disk 1"),
            ("HostResource", "ovf:/disk/vmdisk1"),
            ("InstanceID", "4"),
            ("Parent", "3"),
            ("ResourceType", "17"),
        ],
    ];
    let mut text = String::new();
    for row in rows {
        text.push_str("      <Item>\n");
        for (key, value) in row {
            // Writing into a string does not fail.
            let _ = writeln!(text, "        <rasd:{key}>{value}</rasd:{key}>");
        }
        text.push_str("      </Item>\n");
    }
    text
}

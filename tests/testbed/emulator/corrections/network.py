"""Network ACLs and VPC endpoints."""

import json

from moto.ec2.exceptions import EC2ClientError, InvalidNetworkAclIdError
from moto.ec2.models import EC2Backend
from moto.ec2.models.network_acls import NetworkAclBackend
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.responses.network_acls import NetworkACLs
from moto.ec2.responses.subnets import Subnets
from moto.ec2.responses.vpcs import VPCs

from . import restores

# The rule that the console shows as an asterisk: https://docs.aws.amazon.com/vpc/latest/userguide/default-network-acl.html
LAST_RULE, LAST_RULE_IPV6 = 32767, 32768


@restores("NACL", "AWSEC2/latest/APIReference/API_ReplaceNetworkAclAssociation.html")
def stale_association() -> None:
    """moto: an association id that is no longer current ends in an HTML 500. AWS: InvalidAssociationID.NotFound."""
    original = NetworkAclBackend.replace_network_acl_association

    def replace(self, association_id: str, network_acl_id: str):
        if not any(association_id in acl._associations for acl in self.network_acls.values()):
            raise EC2ClientError("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")
        return original(self, association_id, network_acl_id)

    NetworkAclBackend.replace_network_acl_association = replace


@restores("NACL", "AWSEC2/latest/APIReference/API_ReplaceNetworkAclAssociation.html")
def checks_before_effects() -> None:
    """moto: an unknown target ACL is an error, but the association is gone already. AWS: nothing has changed."""
    original = NetworkAclBackend.replace_network_acl_association

    def replace(self, association_id: str, network_acl_id: str):
        self.get_network_acl(network_acl_id)
        return original(self, association_id, network_acl_id)

    NetworkAclBackend.replace_network_acl_association = replace


@restores("NACL", "AWSEC2/latest/APIReference/API_ReplaceNetworkAclAssociation.html")
def acl_of_another_vpc() -> None:
    """moto: accepted. AWS: a subnet takes only ACLs of its own VPC."""
    original = NetworkAclBackend.replace_network_acl_association

    def replace(self, association_id: str, network_acl_id: str):
        holder = next((acl for acl in self.network_acls.values() if association_id in acl._associations), None)
        if holder is not None and network_acl_id in self.network_acls and self.get_network_acl(network_acl_id).vpc_id != holder.vpc_id:
            subnet = holder._associations[association_id].subnet_id
            raise EC2ClientError("InvalidParameterValue", f"network ACL {network_acl_id} and subnet {subnet} belong to different networks")
        return original(self, association_id, network_acl_id)

    NetworkAclBackend.replace_network_acl_association = replace


@restores("NACL", "AWSEC2/latest/APIReference/API_CreateNetworkAcl.html")
def new_acl_denies() -> None:
    """moto: a new ACL has no entries. AWS: the deny rules behind all others, in and out, for IPv6 too where the VPC has it."""
    original = NetworkAclBackend.create_network_acl

    def create(self, vpc_id, tags=None, default=False):
        acl = original(self, vpc_id, tags, default)
        sixes = vpc_id in self.vpcs and bool(self.vpcs[vpc_id].get_cidr_block_association_set(ipv6=True))
        nothing = {"icmp_code": None, "icmp_type": None, "port_range_from": None, "port_range_to": None}
        for egress in (True, False):
            if not default:
                self.create_network_acl_entry(acl.id, LAST_RULE, "-1", "deny", egress, "0.0.0.0/0", ipv6_cidr_block=None, **nothing)
            if sixes:
                self.create_network_acl_entry(acl.id, LAST_RULE_IPV6, "-1", "deny", egress, None, ipv6_cidr_block="::/0", **nothing)
        return acl

    NetworkAclBackend.create_network_acl = create


@restores("NACL", "AWSEC2/latest/APIReference/API_DeleteNetworkAclEntry.html")
def missing_entry() -> None:
    """moto: deleting an entry that is not there ends in an HTML 500. AWS: InvalidNetworkAclEntry.NotFound."""
    original = NetworkAclBackend.delete_network_acl_entry

    def delete(self, network_acl_id: str, rule_number: int, egress: bool):
        entries = self.get_network_acl(network_acl_id).network_acl_entries
        if not any(entry.rule_number == rule_number and entry.egress == egress for entry in entries):
            direction = "egress" if egress else "ingress"
            raise EC2ClientError("InvalidNetworkAclEntry.NotFound", f"The {direction} network ACL entry with rule number '{rule_number}' does not exist in "
                                                                    f"network ACL '{network_acl_id}'")
        return original(self, network_acl_id, rule_number, egress)

    NetworkAclBackend.delete_network_acl_entry = delete


@restores("NACL", "AWSEC2/latest/APIReference/API_CreateNetworkAclEntry.html")
def rule_numbers() -> None:
    """moto: any number. AWS: 1 to 32766 in a request."""
    original = NetworkACLs.create_network_acl_entry

    def create(self):
        number = self._get_param("RuleNumber")
        if not 1 <= int(number) <= 32766:
            raise EC2ClientError("InvalidParameterValue", f"Invalid value '{number}' for ruleNumber. Must specify a number between 1 and 32766.")
        return original(self)

    NetworkACLs.create_network_acl_entry = create


@restores("NACL", "AWSEC2/latest/APIReference/API_CreateNetworkAcl.html")
def acl_client_token() -> None:
    """moto: the same ClientToken makes a second ACL. AWS: it answers with the first one again; with other parameters IdempotentParameterMismatch."""
    original = NetworkACLs.create_network_acl

    def create(self):
        token = self._get_param("ClientToken")
        wanted = (self._get_param("VpcId"), repr(self._get_param("TagSpecifications", [])))
        known = self.ec2_backend.__dict__.setdefault("acl_tokens", {})
        if token and token in known:
            before, result = known[token]
            if before != wanted:
                raise EC2ClientError("IdempotentParameterMismatch", "The client token you have provided was used with other parameters.")
            return result
        for specification in self._get_param("TagSpecifications", []):
            if specification.get("ResourceType") != "network-acl":
                raise EC2ClientError("InvalidParameterValue", f"'{specification.get('ResourceType')}' is not a valid taggable resource type for this operation.")
        result = original(self)
        if token:
            result.result["ClientToken"] = token
            known[token] = (wanted, result)
        return result

    NetworkACLs.create_network_acl = create


@restores("NACL", "AWSEC2/latest/APIReference/API_DescribeNetworkAcls.html")
def unknown_acl() -> None:
    """moto: InvalidRouteTableID.NotFound. AWS: InvalidNetworkAclID.NotFound."""
    original = NetworkAclBackend.describe_network_acls

    def describe(self, network_acl_ids=None, filters=None):
        for one in network_acl_ids or []:
            if one not in self.network_acls:
                raise InvalidNetworkAclIdError(one)
        return original(self, network_acl_ids, filters)

    NetworkAclBackend.describe_network_acls = describe


@restores("NACL", "AWSEC2/latest/APIReference/API_DeleteNetworkAcl.html")
def default_acl_stays() -> None:
    """moto: a VPC's default ACL can be deleted when no subnet uses it. AWS: never."""
    original = NetworkAclBackend.delete_network_acl

    def delete(self, network_acl_id: str):
        if network_acl_id in self.network_acls and self.network_acls[network_acl_id].default:
            raise EC2ClientError("InvalidParameterValue", f"cannot delete default network ACL {network_acl_id}")
        return original(self, network_acl_id)

    NetworkAclBackend.delete_network_acl = delete


@restores("NACL", "AWSEC2/latest/APIReference/API_DeleteVpc.html")
def acls_go_with_their_vpc() -> None:
    """moto: the ACLs of a deleted VPC stay, with associations of subnets that are gone. AWS: both go."""
    vpc, subnet = EC2Backend.delete_vpc, EC2Backend.delete_subnet

    def without_vpc(self, vpc_id):
        result = vpc(self, vpc_id)
        self.network_acls = {key: acl for key, acl in self.network_acls.items() if acl.vpc_id != vpc_id}
        return result

    def without_subnet(self, subnet_id):
        result = subnet(self, subnet_id)
        for acl in self.network_acls.values():
            acl._associations = {key: one for key, one in acl._associations.items() if one.subnet_id != subnet_id}
        return result

    EC2Backend.delete_vpc, EC2Backend.delete_subnet = without_vpc, without_subnet


@restores("subnets", "AWSEC2/latest/APIReference/API_CreateSubnet.html")
def created_subnets_are_private() -> None:
    """moto: the first subnet in a zone is the zone's default, and gives public addresses. AWS: only CreateDefaultSubnet makes such ones."""
    original = Subnets.create_subnet

    def create(self):
        result = original(self)
        subnet = result.result["Subnet"]
        subnet.default_for_az = subnet.map_public_ip_on_launch = False
        return result

    Subnets.create_subnet = create


@restores("VPC endpoint", "AWSEC2/latest/APIReference/API_ModifyVpcEndpoint.html")
def reset_policy() -> None:
    """moto: ResetPolicy is ignored. AWS: it restores the default policy."""
    original = VPCs.modify_vpc_endpoint

    def modify(self):
        result = original(self)
        if self._get_bool_param("ResetPolicy", False):
            endpoint = self.ec2_backend.describe_vpc_endpoints([self._get_param("VpcEndpointId")])[0]
            endpoint.policy_document = json.dumps(VPCEndPoint.DEFAULT_POLICY)
        return result

    VPCs.modify_vpc_endpoint = modify


@restores("VPC endpoint", "AWSEC2/latest/APIReference/API_ModifyVpcEndpoint.html")
def policy_is_json() -> None:
    """moto: any text. AWS: InvalidParameter for a policy that is no JSON."""
    original = VPCs.modify_vpc_endpoint

    def modify(self):
        policy = self._get_param("PolicyDocument")
        try:
            fine = policy is None or isinstance(json.loads(policy), dict)
        except ValueError:
            fine = False
        if not fine:
            raise EC2ClientError("InvalidParameter", "Policy document is malformed")
        return original(self)

    VPCs.modify_vpc_endpoint = modify

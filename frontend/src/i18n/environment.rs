texts! {
    /// An environment's members and settings.
    EnvironmentTexts {
        members: "Members", "成员";
        members_text: "Who may do what in this environment. Administrators may do everything everywhere.", "谁可以在此环境中做什么。管理员在任何地方都拥有全部权限。";
        add_member: "Add member", "添加成员";
        member: "Member", "成员";
        member_search: "Find a user or group", "查找用户或组";
        provider: "From", "来源";
        provider_local: "Local account", "本地账户";
        role: "Role", "角色";
        since: "Since", "加入时间";
        member_added: "{name} is now a member.", "{name} 已成为成员。";
        role_changed: "The role of {name} is changed.", "{name} 的角色已更改。";
        remove_title: "Remove from environment?", "从环境中移除？";
        remove_text: "This member loses access to the environment at once, unless a group or the administrator role still gives it.", "该成员将立即失去对此环境的访问权限，除非仍通过组或管理员角色拥有权限。";
        removed: "{name} is no longer a member.", "{name} 已不再是成员。";
        no_members: "No members yet", "还没有成员";
        no_members_text: "Only administrators see this environment. Add users or groups and give them a role.", "只有管理员能看到此环境。请添加用户或组并分配角色。";
        on_cluster: "Namespaces & limits", "命名空间与限制";
        on_cluster_text: "Which namespaces of the cluster belong to this environment, what each may use, and what pods must keep to.", "此环境包含集群的哪些命名空间、各自的用量限制以及 Pod 必须遵守的规则。";
        settings: "Environment settings", "环境设置";
        general: "General", "常规";
        saved: "The environment is saved.", "环境已保存。";
        danger: "Danger zone", "危险区域";
        deactivate: "Deactivate environment", "停用环境";
        deactivate_text: "Nothing is changed in it any more, by people or by Drover. What runs goes on running.", "此环境中不再有任何更改，无论是人工还是 Drover。正在运行的容器会继续运行。";
        deactivated: "This environment is inactive: nothing is changed in it until it is activated again.", "此环境已停用：再次启用之前不会有任何更改。";
        activate: "Activate environment", "启用环境";
        activate_text: "Drover keeps up the desired state again.", "Drover 将重新维护期望状态。";
        delete: "Delete environment", "删除环境";
        delete_text: "Removes all its stacks with their containers, networks and volumes, its secrets and its memberships. Hosts are disconnected; what Drover did not make stays on them.", "移除其所有应用栈及容器、网络和卷，以及机密和成员关系。主机将断开连接；非 Drover 创建的内容会保留。";
        delete_title: "Delete environment {name}?", "删除环境 {name}？";
        going_stacks: "{n} stack|{n} stacks", "{n} 个应用栈";
        going_hosts: "{n} host is disconnected|{n} hosts are disconnected", "{n} 台主机将断开连接";
        removing: "The environment is being removed.", "正在移除环境。";
    }
}
